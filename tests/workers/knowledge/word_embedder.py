"""An embedder that needs no weights."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from workers.knowledge.embedder import Embedder, Vectors
from workers.knowledge.words import content_terms, size_words


class WordEmbedder(Embedder):
    """Adds up a direction for each word: texts that share words are near, and the same text is the same vector."""

    def __init__(self, name: str = "words", dimensions: int = 64) -> None:
        self._name = name
        self._dimensions = dimensions

    @property
    def id(self) -> str:
        """As it was named."""
        return self._name

    @property
    def dimensions(self) -> int:
        """As it was told."""
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text."""
        rows = np.zeros((len(texts), self._dimensions), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for term in content_terms(text):
                row += np.random.default_rng(zlib.crc32(term.encode())).standard_normal(self._dimensions)
            row /= max(1e-9, float(np.linalg.norm(row)))
        return rows

    def count_tokens(self, text: str) -> int:
        """Words, and Chinese characters as one each."""
        return size_words(text)
