"""The sections of the chat platforms, and of what is the same on each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from config.section import Section


class BotSettings(Section):
    """The same on every platform."""

    name: str = Field(min_length=1, pattern=r"^\S+$")
    delivery_interval_s: float = Field(gt=0)


class SlackSettings(Section):
    """The Slack app."""

    mode: Literal["socket", "http"]
    bot_token: SecretStr
    app_token: SecretStr
    signing_secret: SecretStr
    api_url: str
    link_timeout_s: float = Field(gt=0)
    read_back_s: float = Field(ge=0)
    http_host: str
    http_port: int = Field(ge=0, le=65535)


class LarkSettings(Section):
    """The Lark or Feishu app."""

    app_id: str
    app_secret: SecretStr
    verification_token: SecretStr
    encrypt_key: SecretStr
    domain: str
    mode: Literal["long_connection", "webhook"]
    link_timeout_s: float = Field(gt=0)
    webhook_host: str
    webhook_port: int = Field(ge=0, le=65535)
    webhook_path: str = Field(pattern=r"^/\S*$")


class WecomSettings(Section):
    """The WeCom AI bot."""

    mode: Literal["long_connection", "callback"]
    bot_id: str
    secret: SecretStr
    token: SecretStr
    aes_key: SecretStr
    ws_url: str
    callback_host: str
    callback_port: int = Field(ge=0, le=65535)
    api_url: str


class WeixinSettings(Section):
    """Direct messages of personal WeChat, over iLink."""

    enabled: bool
    base_url: str = Field(pattern=r"^https?://\S+$")


class WebSettings(Section):
    """The web page: a room to ask in, and tabs for operators."""

    enabled: bool
    host: str = Field(min_length=1)
    port: int = Field(ge=0, le=65535)
    password_hash: SecretStr
    operator_hash: SecretStr
    rooms: list[Annotated[str, Field(pattern=r"^[\w][\w-]{0,31}$")]] = Field(min_length=1)

    @field_validator("rooms")
    @classmethod
    def _nobodys_own(cls, rooms: list[str]) -> list[str]:
        if any(room.startswith("direct") for room in rooms):
            raise ValueError("a name that begins with direct is for the rooms of one person with the bot")
        return rooms
