"""The home folder's settings without the secrets in them, for a backup that lies somewhere else."""

from __future__ import annotations

import re

import tomlkit
from pydantic import SecretStr
from tomlkit.items import Table

from config.settings import Settings

# A user and a password in an address.
_WITH_USER = re.compile(r"://[^/\s]*@")


def without_secrets(toml: str) -> tuple[str, tuple[str, ...]]:
    """The file without the keys that hold a secret, and which those are; comments stay."""
    document = tomlkit.parse(toml)
    left_out = []
    for section, table in document.items():
        if not isinstance(table, Table):
            continue
        field = Settings.model_fields.get(section)
        known = getattr(field.annotation, "model_fields", {}) if field else {}
        for key in list(table):
            is_secret = key in known and known[key].annotation is SecretStr
            if is_secret or _WITH_USER.search(str(table[key])):
                del table[key]
                left_out.append(f"{section}.{key}")
    return tomlkit.dumps(document), tuple(left_out)
