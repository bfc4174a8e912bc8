"""WeCom (企业微信): an AI bot in groups and direct chats, over the long connection or called back over HTTP."""

from __future__ import annotations

from bot.platform import NotConfiguredError, Platform
from bot.platforms.wecom.long_connection import WeComLongConnection
from config.settings import Settings


def create(settings: Settings) -> Platform:
    """The platform in the mode that `wecom.mode` names."""
    wecom = settings.wecom
    if not (wecom.bot_id and wecom.secret.get_secret_value()):
        raise NotConfiguredError(
            "wecom is not configured for the long connection: set FENNEL_WECOM__BOT_ID and FENNEL_WECOM__SECRET"
        )
    return WeComLongConnection(
        wecom.ws_url, wecom.bot_id, wecom.secret.get_secret_value(), settings.redis_url, settings.bot.name
    )
