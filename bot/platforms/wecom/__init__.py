"""WeCom (企业微信): an AI bot in groups and direct chats, over the long connection or called back over HTTP."""

from __future__ import annotations

from bot.platform import NotConfiguredError, Platform
from bot.platforms.wecom.callback import CallbackSettings, WeComCallback
from bot.platforms.wecom.long_connection import WeComLongConnection
from config.settings import Settings


def create(settings: Settings) -> Platform:
    """The platform in the mode that `wecom.mode` names. Raises PlatformError where that mode lacks its keys."""
    wecom = settings.wecom
    if wecom.mode == "callback":
        callback = CallbackSettings(
            wecom.callback_host,
            wecom.callback_port,
            wecom.token.get_secret_value(),
            wecom.aes_key.get_secret_value(),
            wecom.api_url,
        )
        return WeComCallback(callback, wecom.bot_id, settings.redis_address, settings.bot.name)
    if not (wecom.bot_id and wecom.secret.get_secret_value()):
        raise NotConfiguredError(
            "wecom is not configured for the long connection: set FENNEL_WECOM__BOT_ID and FENNEL_WECOM__SECRET, "
            "or FENNEL_WECOM__MODE=callback"
        )
    return WeComLongConnection(
        wecom.ws_url, wecom.bot_id, wecom.secret.get_secret_value(), settings.redis_address, settings.bot.name
    )
