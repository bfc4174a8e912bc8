"""Links in an answer: those that stand in the passages it was made from stay, every other one goes.

A model that was talked into it, or that makes things up, could put a question's words into an address that whoever
reads the answer opens, or that the chat opens by itself to show a preview.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from workers.knowledge.passage import Passage

_IMAGE = re.compile(r"!\[([^\]\n]*)\](?:\([^)\n]*\)|\[[^\]\n]*\])?|<img\b[^>]*>", re.IGNORECASE)
_LINK = re.compile(r"\[([^\]\n]*)\]\(\s*<?([^)\s>]*)>?[^)\n]*\)")
_BARE = re.compile(r"(?:[a-z][a-z0-9+.-]{1,20}://|\bwww\.|\bmailto:)[^\s<>\"'`，。；）】」》]+", re.IGNORECASE)
_BEHIND = ".,;:!?)]}*_"
GONE = "…"


class Links:
    """The links that may stand in an answer: the passages' sources, and what stands in their text."""

    def __init__(self, passages: Iterable[Passage]) -> None:
        self._known: set[str] = set()
        for passage in passages:
            found = [_plain(one) for one in _BARE.findall(f"{passage.text}\n{passage.source}")]
            self._known.update(found, (target.casefold() for _, target in _LINK.findall(passage.text)))

    def kept(self, text: str) -> str:
        """The text without pictures, and without the addresses that are not known; a link's words stay.

        Each sentence is changed by itself, so that the beginning of a text stays the beginning of the whole.
        """
        pictured = _IMAGE.sub(lambda found: found.group(1) or "", text)
        linked = _LINK.sub(self._link, pictured)
        return _BARE.sub(lambda found: found.group() if self._is_known(found.group()) else GONE, linked)

    def _link(self, found: re.Match[str]) -> str:
        words, target = found.groups()
        return found.group() if self._is_known(target) or target.casefold() in self._known else str(words)

    def _is_known(self, address: str) -> bool:
        return _plain(address) in self._known


def _plain(address: str) -> str:
    """An address without what a sentence puts behind it."""
    return address.rstrip(_BEHIND).casefold()
