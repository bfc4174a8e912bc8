"""A page in a browser: a room to ask in, and tabs for those who operate Fennel."""

from __future__ import annotations

from bot.platform import Platform
from bot.platforms.web.passwords import check_settings
from bot.platforms.web.platform import WebPlatform
from bot.platforms.web.tabs import Tabs
from config.settings import Settings


def create(settings: Settings) -> Platform:
    """The page of the settings. Raises PlatformError where it would be open to strangers."""
    check_settings(settings.web)
    return WebPlatform(settings, Tabs(settings))
