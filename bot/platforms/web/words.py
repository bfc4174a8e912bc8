"""What stands on the page, in each language: one file a language, the same keys in each."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources

LANGUAGES = ("en", "zh")


@functools.cache
def words_of(language: str) -> Mapping[str, str]:
    """All words of the page in a language, by key."""
    return tomllib.loads(resources.files(__package__).joinpath(f"words/{language}.toml").read_text(encoding="utf-8"))


def wanted_language(cookie: str, accepted: str) -> str:
    """The language that somebody chose, or else the first of the ``Accept-Language`` header that there is."""
    if cookie in LANGUAGES:
        return cookie
    wanted = (one.split(";")[0].strip().lower()[:2] for one in accepted.split(","))
    return next((one for one in wanted if one in LANGUAGES), LANGUAGES[0])
