"""A long text in parts that a platform with a limit in bytes takes."""

from __future__ import annotations

_FENCE = "```"
_FENCE_ROOM_BYTES = 40
_FENCE_LINE_CHARACTERS = 24
_ENDS = ("\n\n", "\n", "。", "！", "？", ". ", "; ", " ")
"""Where a text may be cut, the best place first."""


def split(text: str, limit_bytes: int) -> list[str]:
    """The text in parts of at most `limit_bytes` in UTF-8, cut at the end of a paragraph where there is one.

    A code block that is cut is closed and opened again. An empty text has no parts.
    """
    parts: list[str] = []
    rest = text.strip()
    while len(rest.encode()) > limit_bytes:
        cut = _place_to_cut(rest, limit_bytes - _FENCE_ROOM_BYTES)
        head, rest = rest[:cut].rstrip(), rest[cut:].strip("\n")
        opened = _open_fence(head)
        if opened:
            head, rest = f"{head}\n{_FENCE}", f"{opened}\n{rest}"
        parts.append(head)
    return [*parts, rest] if rest else parts


def _place_to_cut(text: str, limit_bytes: int) -> int:
    """How many characters fit, up to a good end in the second half of them."""
    fits = text.encode()[:limit_bytes].decode(errors="ignore")
    for end in _ENDS:
        at = fits.rfind(end, len(fits) // 2)
        if at > 0:
            return at + len(end)
    return len(fits)


def _open_fence(text: str) -> str:
    """The line that opened the code block which is not closed yet; empty where there is none."""
    opened = ""
    for line in text.splitlines():
        if line.lstrip().startswith(_FENCE):
            opened = "" if opened else line.strip()[:_FENCE_LINE_CHARACTERS]
    return opened
