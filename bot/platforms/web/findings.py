"""Findings in the page's language: the programs, of this release or another, tell theirs in English.

`words/findings.LANGUAGE.toml` has a sentence for each that is fixed. What it has not, such as the words of a library,
stays as it is.
"""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Sequence
from importlib import resources

_FIELD = re.compile(r"\{(\w+)\}")


def in_language(sentence: str, language: str) -> str:
    """The sentence as a reader of this language is told it."""
    for pattern, told in _sentences(language):
        if (found := pattern.fullmatch(sentence)) is not None:
            return told.format(**found.groupdict())
    return sentence


@functools.cache
def _sentences(language: str) -> Sequence[tuple[re.Pattern[str], str]]:
    file = resources.files(__package__).joinpath(f"words/findings.{language}.toml")
    if not file.is_file():
        return ()
    return [(_pattern(sentence), told) for sentence, told in tomllib.loads(file.read_text(encoding="utf-8")).items()]


def _pattern(sentence: str) -> re.Pattern[str]:
    """What fits the sentence, whatever stands in place of its fields."""
    parts = _FIELD.split(sentence)
    fixed = [re.escape(part) if at % 2 == 0 else f"(?P<{part}>.+)" for at, part in enumerate(parts)]
    return re.compile("".join(fixed), re.DOTALL)
