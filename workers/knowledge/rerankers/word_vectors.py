"""The vectors of single words, kept, as most words come again."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from workers.knowledge.embedder import Embedder, Vectors

_AT_ONCE = 64
_KEPT = 40_000  # 40 MB of the bundled embedder's
_STORED = np.float16


class WordVectors:
    """Asks an embedder for words that are new. May be used from many threads at once."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._lock = threading.Lock()
        self._kept: dict[str, NDArray[np.float16]] = {}

    def of(self, words: Iterable[str]) -> dict[str, Vectors]:
        """The vector of each of the words."""
        wanted = set(words)
        found = {word: kept for word in wanted if (kept := self._kept.get(word)) is not None}
        fresh = sorted(wanted - found.keys())
        for at in range(0, len(fresh), _AT_ONCE):
            some = fresh[at : at + _AT_ONCE]
            found.update(zip(some, self._embedder.embed(some).astype(_STORED), strict=True))
        with self._lock:
            if len(self._kept) > _KEPT:
                self._kept = {}
            self._kept.update((word, found[word]) for word in fresh)
        return {word: vector.astype(np.float32) for word, vector in found.items()}
