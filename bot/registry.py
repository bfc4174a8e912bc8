"""The chat platforms by name. A platform's module, and with it its SDK, is imported only when it is used."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from typing import cast

from pydantic import SecretStr

import bot.platforms
from bot.platform import NotConfiguredError, Platform, PlatformError
from config.settings import Settings


@dataclass(frozen=True, slots=True)
class PlatformEntry:
    """Where a platform is, and what it needs: each of `needs` is a set of settings that is enough.

    The module has to offer ``create(settings: Settings) -> Platform``. `needs_switch`: what it needs is only the word
    that it is wanted, and a person who starts it by name has given it. `is_added`: a file that somebody has put into
    `bot/platforms/`; it is wanted where the settings have a table ``[platforms.NAME]``.
    """

    module: str
    needs: tuple[tuple[str, ...], ...] = ((),)
    needs_switch: bool = False
    is_added: bool = False


_SHIPPED = {
    "console": PlatformEntry("bot.platforms.console"),
    "lark": PlatformEntry("bot.platforms.lark", (("app_id", "app_secret"),)),
    "slack": PlatformEntry("bot.platforms.slack", (("bot_token", "app_token"), ("bot_token", "signing_secret"))),
    "web": PlatformEntry("bot.platforms.web", (("enabled",),), needs_switch=True),
    "wecom": PlatformEntry("bot.platforms.wecom", (("bot_id", "secret"), ("token", "aes_key"))),
    "weixin": PlatformEntry("bot.platforms.weixin", (("enabled",),)),
}
_ADDED = {
    module.name: PlatformEntry(f"bot.platforms.{module.name}", is_added=True)
    for module in pkgutil.iter_modules(bot.platforms.__path__)
    if module.name not in _SHIPPED
}
PLATFORMS = {**_SHIPPED, **_ADDED}


def create_platform(name: str, settings: Settings, *, by_hand: bool = False) -> Platform:
    """Build the platform of this name; `by_hand`: a person started it.

    Raises NotConfiguredError where its settings are empty, PlatformError where it is unknown or its SDK is missing.
    """
    entry = PLATFORMS.get(name)
    if entry is None:
        raise PlatformError(f"there is no platform {name!r}; there are: {', '.join(PLATFORMS)}")
    wanted = wanted_settings(name, settings)
    if wanted and not (by_hand and entry.needs_switch):
        raise NotConfiguredError(f"{name} is not configured: set {wanted}")
    try:
        module = importlib.import_module(entry.module)
    except ModuleNotFoundError as error:
        # A module of ours that is missing is a fault; only an SDK is something that a person can install.
        if not error.name or error.name.split(".")[0] in ("bot", "config", "contract"):
            raise
        raise PlatformError(f"{error.name} is not installed: pip install 'fennel[{name}]'") from error
    return cast(Platform, module.create(settings))


def wanted_settings(name: str, settings: Settings) -> str:
    """The settings that the platform of this name still wants, for a sentence; empty where it is set up."""
    entry = PLATFORMS[name]
    if entry.is_added:
        return "" if name in settings.platforms else f"a table [platforms.{name}] in FENNEL_HOME/fennel.toml"
    if any(all(_is_set(settings, name, key) for key in keys) for keys in entry.needs):
        return ""
    return ", or ".join(" and ".join(f"FENNEL_{name}__{key}".upper() for key in keys) for keys in entry.needs)


def _is_set(settings: Settings, section: str, key: str) -> bool:
    value = getattr(getattr(settings, section), key)
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)
