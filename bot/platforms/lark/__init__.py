"""Lark and Feishu, on lark-oapi's long connection or by webhook."""

from __future__ import annotations

from urllib.parse import urlsplit

from bot.platform import PlatformError
from bot.platforms.lark.platform import LarkPlatform
from bot.platforms.lark.webhook import Seal
from config.settings import Settings

__all__ = ["LarkPlatform", "create"]


def create(settings: Settings) -> LarkPlatform:
    """The platform as it is set up; raises PlatformError where something is missing or unsafe."""
    lark = settings.lark
    address = urlsplit(lark.domain)
    # The app's secret goes there.
    if address.scheme != "https" and address.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise PlatformError(f"FENNEL_LARK__DOMAIN={lark.domain} is not an https address")
    if lark.mode == "webhook":
        Seal(lark.encrypt_key.get_secret_value(), lark.verification_token.get_secret_value())
    return LarkPlatform(lark)
