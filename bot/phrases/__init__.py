"""Every fixed sentence that Fennel says, in each language: one file a language, the same keys in each."""

from __future__ import annotations

import functools
import tomllib
from importlib import resources

LANGUAGES = ("en", "zh")


@functools.cache
def phrases_of(language: str) -> dict[str, str]:
    """All sentences of a language by key, as templates with named fields."""
    return tomllib.loads(resources.files(__name__).joinpath(f"{language}.toml").read_text(encoding="utf-8"))


def phrase(language: str, key: str, **values: str | int) -> str:
    """One sentence, filled in. The template is ours and the values are put in as they are, whatever they contain."""
    return phrases_of(language)[key].format(**values)


def knows(key: str) -> bool:
    """Whether there is such a sentence."""
    return key in phrases_of(LANGUAGES[0])
