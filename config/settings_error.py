"""What is said of a setting that cannot be used."""

from __future__ import annotations

from pydantic import ValidationError

from config.environment import PREFIX
from contract.errors import FennelError


class SettingsError(FennelError):
    """A setting that cannot be used; the sentence names the key, the value and what is wanted."""


def sentence_of(error: ValidationError) -> str:
    """The sentence for the first thing that pydantic refuses, without the value of a secret."""
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"] if part != "[key]"]
    # A channel's table stands in the file alone: its name is no name for the environment.
    name = ".".join(path) if path[0] == "channels" else PREFIX + "__".join(path).upper()
    if first["type"] == "extra_forbidden":
        return f"{name} is no setting of Fennel; config/fennel.toml lists them all"
    # A secret's value must not reach a log, even where it is wrong.
    secret = any(word in part for part in path[1:] for word in ("token", "secret", "key", "url", "hash", "password"))
    shown = "(not shown)" if secret else repr(first["input"])
    return f"{name}={shown} cannot be used: {first['msg'][0].lower()}{first['msg'][1:]}"
