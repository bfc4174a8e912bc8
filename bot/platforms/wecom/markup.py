"""A reply's Markdown as WeCom takes it: at most 20,480 bytes a message."""

from __future__ import annotations

import re

CONTENT_BYTES = 20_480
# WeCom folds <think>…</think> away; an answer that mentions the tag would vanish with it.
_THINK = re.compile(r"<(?=\s*/?\s*think)", re.IGNORECASE)


def neutral(text: str) -> str:
    """The text without what WeCom would read as its own markup. Character by character, so that a text's beginning
    stays the beginning of the whole.
    """
    return _THINK.sub("＜", text)
