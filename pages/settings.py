"""The table of all settings, out of `config/fennel.toml` and the models that check it."""

from __future__ import annotations

import json
import re
import tomllib
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, MinLen
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from config.environment import PREFIX
from config.settings import DEFAULTS_FILE, Settings
from pages.table import table

LINE = re.compile(r"^(?P<key>\w+) = (?P<value>.*?)\s+# (?P<meaning>.*)$")
WORDS = {str: "text", int: "number", float: "number", bool: "true or false", SecretStr: "secret text"}
SIGNS = {Ge: "≥", Gt: ">", Le: "≤"}


def sections() -> dict[str, type[BaseModel]]:
    """Each section's name with the model that checks it."""
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def meanings() -> dict[tuple[str, str], str]:
    """What the file says behind each key."""
    found: dict[tuple[str, str], str] = {}
    section = ""
    for line in DEFAULTS_FILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif matched := LINE.match(line):
            found[section, matched["key"]] = matched["meaning"]
    return found


def tables() -> str:
    """A heading and a table for each section."""
    defaults, told = tomllib.loads(DEFAULTS_FILE.read_text(encoding="utf-8")), meanings()
    parts = []
    for section, model in sections().items():
        rows = [
            [
                f"`{key}`<br>`{PREFIX}{section.upper()}__{key.upper()}`",
                type_of(field),
                f"`{json.dumps(defaults[section][key], ensure_ascii=False)}`",
                told.get((section, key), ""),
            ]
            for key, field in model.model_fields.items()
        ]
        heads = ["Key, and its name in the environment", "Type", "Default", "Meaning"]
        parts.append(f"## [{section}]\n\n{model.__doc__}\n\n{table(heads, rows)}")
    return "\n\n".join(parts)


def type_of(field: FieldInfo) -> str:
    """A field's type in words, with its bounds."""
    bounds = [f"{SIGNS[type(one)]} {_bound(one)}" for one in field.metadata if type(one) in SIGNS]
    if any(isinstance(one, MinLen) for one in field.metadata):
        bounds.append("not empty")
    return ", ".join([_word(field.annotation), *bounds])


def _bound(bound: Any) -> str:
    value = next(getattr(bound, name) for name in ("ge", "gt", "le") if hasattr(bound, name))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _word(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _word(get_args(annotation)[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    if origin is list:
        return f"list of {_word(get_args(annotation)[0])}s"
    if origin in (types.UnionType, Union):
        return " or ".join(_word(one) for one in get_args(annotation))
    return WORDS[annotation]
