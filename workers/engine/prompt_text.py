"""The text of a prompt: which of its characters are wide, and what it must not bring to a tokenizer."""

from __future__ import annotations

import re

WIDE_CHARACTERS = "\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
"""Those of Chinese, Japanese and Korean, for a class of a regular expression; each is about one token."""


def without_surrogates(text: str) -> str:
    """The text with halves of UTF-16 pairs joined, and lone ones replaced by U+FFFD: no tokenizer takes them."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def without_marks(text: str, marks: re.Pattern[str]) -> str:
    """The text with marks of chat templates broken by a space, so that it cannot end a turn or begin one."""
    text = without_surrogates(text)
    # Again until there is none: breaking one may make another.
    while (broken := marks.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)) != text:
        text = broken
    return text
