"""Personal WeChat's direct messages over iLink, Tencent's interface for bots. Experimental."""

from __future__ import annotations

import sys

from bot.platform import NotConfiguredError, Platform
from bot.platforms.weixin.login import Login, ask_at_terminal
from bot.platforms.weixin.platform import NOT_LOGGED_IN, Weixin
from bot.platforms.weixin.session import SessionFile
from config.settings import Settings


def create(settings: Settings) -> Platform:
    """The platform; at a terminal it logs in first. Raises NotConfiguredError where it cannot."""
    sessions = SessionFile(settings.home / "weixin" / "session.json")
    at_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    if not at_terminal and sessions.load() is None:
        raise NotConfiguredError(NOT_LOGGED_IN)
    login = Login(settings.weixin.base_url, sys.stdout, ask_at_terminal) if at_terminal else None
    return Weixin(sessions, login, settings.redis_address)
