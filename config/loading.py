"""Settings are read once, at the start; wrong ones stop the program with a sentence."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError as PydanticSettingsError

from config.environment import PREFIX, home_folder, setting_names
from config.redis_users import Role
from config.settings import DEFAULTS_FILE, HOME_FILE, Settings
from config.settings_error import SettingsError, sentence_of


def load_settings(role: Role = Role.OPERATOR) -> Settings:
    """Read all settings, for a program that is `role` to Redis.

    Raises SettingsError with one sentence for the first thing that is wrong.
    """
    try:
        defaults = _read(DEFAULTS_FILE)
        known = [f"{PREFIX}{section}__{key}".upper() for section, keys in defaults.items() for key in keys]
        for name in setting_names():
            # An added platform knows its own settings.
            if name.upper() not in known and not re.match(rf"{PREFIX}PLATFORMS(__|$)", name.upper()):
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
                hint = f" (did you mean {near[0]}?)" if near else ""
                raise SettingsError(f"{name} is no setting of Fennel{hint}; config/fennel.toml lists them all")
        own = home_folder() / HOME_FILE
        for section in _read(own):
            if section not in defaults:
                raise SettingsError(f"{own} has {section}, which is no section; see config/fennel.toml")
        settings = Settings()
        settings._role = role
        return settings
    except ValidationError as error:
        raise SettingsError(sentence_of(error)) from error
    except (PydanticSettingsError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, OSError) as error:
        raise SettingsError(f"the settings cannot be read: {error}") from error


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            return tomllib.load(opened)
    except (FileNotFoundError, NotADirectoryError):
        return {}
