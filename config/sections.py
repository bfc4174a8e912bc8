"""The sections of bots and workers alike, with what each key may be; `config/fennel.toml` says what each is for."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from config.redis_address import RedisAddress, parse_sentinel
from config.section import MemberId, Section, TenantId


class RedisSettings(Section):
    """Where the queue is, and who we are there."""

    url: str
    port: int = Field(ge=0, le=65535)
    replicas: int = Field(ge=0, le=16)
    user: str = Field(pattern=r"^\S*$")
    password: SecretStr
    sentinels: list[str]
    sentinel_service: str = Field(pattern=r"^\S*$")
    sentinel_tls: bool
    sentinel_user: str = Field(pattern=r"^\S*$")
    sentinel_password: SecretStr
    ca_file: str
    certificate_file: str
    key_file: str
    roles: bool

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        if url:
            RedisAddress.of_url(url)
        return url

    @field_validator("sentinels")
    @classmethod
    def _somewhere(cls, sentinels: list[str], info: ValidationInfo) -> list[str]:
        for one in sentinels:
            parse_sentinel(one)
        if sentinels and info.data.get("url"):
            raise ValueError("either sentinels tell where the server is, or redis.url: leave one of them empty")
        return sentinels

    @field_validator("sentinel_service")
    @classmethod
    def _which(cls, service: str, info: ValidationInfo) -> str:
        if info.data.get("sentinels") and not service:
            raise ValueError("the sentinels have to be told which server is meant, such as fennel")
        return service

    @field_validator("ca_file", "certificate_file", "key_file")
    @classmethod
    def _readable(cls, file: str, info: ValidationInfo) -> str:
        if not file:
            return file
        if not (info.data.get("sentinel_tls") or info.data.get("url", "").startswith("rediss://")):
            # Whoever names a certificate means to be encrypted.
            raise ValueError("it needs TLS: redis.url begins with rediss://, or redis.sentinel_tls is true")
        if not os.access(file, os.R_OK):
            raise ValueError("there is no such file, or this user may not read it")
        return file

    @property
    def is_embedded(self) -> bool:
        """Whether the server is the one that Fennel starts."""
        return not self.url and not self.sentinels

    def address(self, socket: Path) -> RedisAddress:
        """The server that these name; `socket` is the embedded one's."""
        user, password = self.user, self.password.get_secret_value()
        files = {"ca_file": self.ca_file, "certificate_file": self.certificate_file, "key_file": self.key_file}
        if self.url:
            return RedisAddress.of_url(self.url, user, password, **files)
        if not self.sentinels:
            return RedisAddress.of_socket(socket, user, password)
        return RedisAddress(
            user=user,
            password=password,
            tls=self.sentinel_tls,
            sentinels=tuple(parse_sentinel(one) for one in self.sentinels),
            service=self.sentinel_service,
            sentinel_user=self.sentinel_user,
            sentinel_password=self.sentinel_password.get_secret_value(),
            **files,
        )


class QueueSettings(Section):
    """How long a question may wait, and how many may."""

    max_queued: int = Field(ge=1)
    queued_notice_after_s: float = Field(gt=0)
    answer_ttl_s: float = Field(gt=0)


class WorkerSettings(Section):
    """How many questions are answered at a time, and what happens when a worker stops."""

    processes: int = Field(ge=0, le=64)
    host: str = Field(pattern=r"^[A-Za-z0-9._-]*$")
    max_in_flight: int = Field(ge=1, le=1024)
    job_timeout_s: float = Field(gt=0)
    drain_s: float = Field(ge=0)
    lease_s: float = Field(ge=2)
    max_reclaims: int = Field(ge=0)
    partial_interval_s: float = Field(gt=0)


ENGINE_KINDS = ("transformers", "openai", "hybrid", "echo")


class EngineSettings(Section):
    """The language model."""

    kind: str
    model: str = Field(min_length=1)
    device: Literal["auto", "cpu", "cuda"]
    dtype: Literal["auto", "float32", "bfloat16", "float16", "int8"]
    threads: int = Field(ge=0, le=1024)
    max_prompt_tokens: int = Field(ge=64)
    max_new_tokens: int = Field(ge=1)
    start_timeout_s: float = Field(gt=0)
    step_timeout_s: float = Field(gt=0)
    remote_urls: list[Annotated[str, Field(pattern=r"^https?://[^\s@]+$")]]
    remote_key: SecretStr
    remote_model: str
    remote_timeout_s: float = Field(gt=0)
    remote_retries: int = Field(ge=0, le=20)
    remote_requests_per_minute: int = Field(ge=0)
    remote_tokens_per_minute: int = Field(ge=0)
    remote_price: float = Field(ge=0)
    remote_price_new: float = Field(ge=0)
    hybrid_first: Literal["local", "remote"]
    hybrid_in_hand: int = Field(ge=1)

    @field_validator("kind")
    @classmethod
    def _known_or_a_place(cls, kind: str) -> str:
        if kind not in ENGINE_KINDS and not re.fullmatch(r"\w+(\.\w+)+:\w+", kind):
            wish = ", ".join(f"'{one}'" for one in ENGINE_KINDS)
            raise PydanticCustomError("engine_kind", f"input should be {wish}, or MODULE:CLASS of an engine of yours")
        return kind

    @field_validator("remote_urls")
    @classmethod
    def _somewhere(cls, urls: list[str], info: ValidationInfo) -> list[str]:
        kind = info.data.get("kind")
        if kind in ("openai", "hybrid") and not urls:
            raise ValueError(f'engine.kind={kind} needs the address of a server, such as ["http://gpu-host:8000/v1"]')
        return urls


class KnowledgeSettings(Section):
    """How documents are cut and found."""

    embedder: str = Field(min_length=1)
    reranker: Literal["none", "sentences", "likelihood"]
    reranker_model: str
    postgres_url: SecretStr
    max_file_mb: int = Field(ge=1)
    parse_memory_mb: int = Field(ge=64)
    parse_timeout_s: float = Field(gt=0)
    passage_tokens: int = Field(ge=20)
    passages: int = Field(ge=1, le=20)


class GateSettings(Section):
    """When to say that it is not here."""

    min_score: float = Field(ge=0, le=1)
    why_ttl_s: float = Field(gt=0)


class ConversationSettings(Section):
    """How much of a thread is remembered."""

    ttl_s: float = Field(gt=0)
    max_turns: int = Field(ge=0)
    max_tokens: int = Field(ge=0)


class AccessSettings(Section):
    """Who may ask, by the platforms' own ids and never by a name, which anybody can take."""

    allow_tenants: list[TenantId]
    deny_tenants: list[TenantId]
    allow_channels: list[MemberId]
    deny_channels: list[MemberId]
    allow_people: list[MemberId]
    deny_people: list[MemberId]
    allow_bots: list[MemberId]
    admins: list[MemberId]
    direct_messages: Literal["allow", "people", "deny"]


class LimitsSettings(Section):
    """How many questions are taken from whom."""

    window_s: float = Field(gt=0)
    person_questions: int = Field(ge=0)
    group_questions: int = Field(ge=0)
    overall_questions: int = Field(ge=0)
    bot_turns: int = Field(ge=1)
    bot_window_s: float = Field(gt=0)


class ChannelSettings(Section):
    """How the bot behaves in a channel."""

    listen: Literal["mention", "ambient"]
    quiet_s: float = Field(gt=0)
    work_hours: str = Field(pattern=r"^$|^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")
    work_days: list[Annotated[int, Field(ge=1, le=7)]]
    time_zone: str
    maintainers: list[str]

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("it is no time zone's name, such as Asia/Shanghai") from error
        return name


class RetentionSettings(Section):
    """How long what people said is kept."""

    history_days: float = Field(ge=0)
    feedback_days: float = Field(gt=0)


class HealthSettings(Section):
    """Where each program tells how it is."""

    host: str = Field(min_length=1)
    port: int = Field(ge=-1, le=65535)


class DashboardSettings(Section):
    """RQ's dashboard, a program of others."""

    enabled: bool
    port: int = Field(ge=1, le=65535)
    username: str = Field(min_length=1)
    password: SecretStr


class TracingSettings(Section):
    """Where traces go."""

    endpoint: str = Field(pattern=r"^(https?://\S+)?$")


class LogSettings(Section):
    """What is logged, and how."""

    level: Literal["debug", "info", "warning", "error"]
    format: Literal["console", "json"]
