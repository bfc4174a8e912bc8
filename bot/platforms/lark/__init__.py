"""Lark and Feishu, on lark-oapi's long connection or by webhook."""

from __future__ import annotations

from urllib.parse import urlsplit

from bot.platform import PlatformError
from bot.platforms.lark.platform import LarkPlatform
from bot.platforms.lark.webhook import Seal
from config.settings import Settings

__all__ = ["LarkPlatform", "create", "secret_is_safe"]


def secret_is_safe(domain: str) -> bool:
    """Whether the app's secret may be sent there: over https, or to this machine."""
    address = urlsplit(domain)
    return bool(address.hostname) and (
        address.scheme == "https" or address.hostname in ("127.0.0.1", "localhost", "::1")
    )


def create(settings: Settings) -> LarkPlatform:
    """The platform as it is set up; raises PlatformError where something is missing or unsafe."""
    lark = settings.lark
    if not secret_is_safe(lark.domain):
        raise PlatformError(f"FENNEL_LARK__DOMAIN={lark.domain} is not an https address")
    if lark.mode == "webhook":
        Seal(lark.encrypt_key.get_secret_value(), lark.verification_token.get_secret_value())
    return LarkPlatform(lark)
