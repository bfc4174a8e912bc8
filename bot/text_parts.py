"""A long text in parts, each as short as a platform takes it, by that platform's own measure of size."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable

Size = Callable[[str], int]
"""A text's size as the platform counts it; the sizes of a text's characters add up to the text's."""

_FENCE = re.compile(r"[ \t]*(`{3,16}(?=[^`]*$)|~{3,16}(?!~))(.*)")
"""A line that opens or closes code (https://spec.commonmark.org/0.31.2/#fenced-code-blocks), however far indented:
inside a list it is. A longer run than anybody writes is text, as closing it would take its own length again."""
_FENCE_ROOM = 40
_LANGUAGE_CHARACTERS = 24
_BORDERS = (re.compile(r"\n\n"), re.compile(r"\n"), re.compile(r"[。！？；…]|[.!?;]\s"), re.compile(r"[ ，、]"))
"""What may end a part, the best first."""


def utf8_bytes(text: str) -> int:
    """The size that most limits are given in."""
    return len(text.encode("utf-8", "surrogatepass"))


def split(text: str, limit: int, size: Size = utf8_bytes) -> list[str]:
    """The text in parts of at most `limit`, cut at the end of a paragraph, a line, a sentence or a word.

    Code that is cut is closed, and opened again in the next part. A part depends only on the text up to its end, so
    that a growing text keeps its parts. An empty text has none.
    """
    parts: list[str] = []
    rest = text.strip("\n")
    while size(rest) > limit:
        cut = _place_to_cut(rest, limit - _FENCE_ROOM, size)
        head, rest = rest[:cut].rstrip(), rest[cut:].lstrip("\n")
        marks, language = _open_fence(head)
        if marks:
            head, rest = f"{head}\n{marks}", f"{marks}{language}\n{rest}"
        parts += [head] if head else []
    last = rest.rstrip()
    return [*parts, last] if last else parts


def _place_to_cut(text: str, limit: int, size: Size) -> int:
    """How many characters fit, up to the last good border in the second half of them; one at least."""
    most = range(1, min(len(text), limit) + 1)
    fits = max(bisect_right(most, limit, key=lambda characters: size(text[:characters])), 1)
    for border in _BORDERS:
        ends = [found.end() for found in border.finditer(text, fits // 2, fits)]
        if ends:
            return ends[-1]
    return fits


def _open_fence(text: str) -> tuple[str, str]:
    """The marks that opened the code in which the text ends, and its language; both empty outside code."""
    marks = language = ""
    for line in text.splitlines():
        found = _FENCE.match(line)
        if found and not marks:
            marks, language = found.group(1), found.group(2).strip()[:_LANGUAGE_CHARACTERS]
        elif found and found.group(1).startswith(marks) and not found.group(2).strip():
            marks = language = ""
    return marks, language
