"""Hybrid retrieval: nearness in meaning, and a little for the question's own words.

Paraphrases and questions in another language are found by the vectors, error codes and host names by their words.
A passage's score is its cosine plus a share of its coverage, the part of the question's words that it holds,
each word weighted by its rarity. A passage without a word in common gets nothing added, and nothing taken away.
Measured on the handbook's questions (`python -m benchmarks.quality`), this found more than adding BM25's z-score
with any weight, and far more than fusing the two ranks as equals.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from workers.knowledge.embedder import Embedder
from workers.knowledge.index import Index
from workers.knowledge.retriever import Retriever, ScoredPassage
from workers.knowledge.words import content_terms, is_identifier

COVERAGE_WEIGHT = 0.3
_IDENTIFIER_WEIGHT = 2.0
_CANDIDATES = 32  # taken from each side; the best few of either are far above the last of them
_COMMON_SHARE = 0.25  # a word in more of the passages than this is not searched for; it still counts as covered


class HybridRetriever(Retriever):
    """Searches an index by meaning and by words."""

    def __init__(self, index: Index, embedder: Embedder) -> None:
        self._index = index
        self._embedder = embedder

    def search(self, text: str, limit: int) -> list[ScoredPassage]:
        """The passages with the highest cosine and share of words."""
        matrix = self._index.matrix()
        if not len(matrix.ids):
            return []
        similarities = matrix.vectors @ self._embedder.embed([text])[0]
        near = _best(similarities, max(limit, _CANDIDATES))
        dense_ranks = {int(matrix.ids[row]): rank for rank, row in enumerate(near, 1)}

        words = content_terms(text)
        weights = self._weights(words, len(matrix.ids))
        rare = [word for word in words if weights[word] >= _weight(_COMMON_SHARE * len(matrix.ids), len(matrix.ids))]
        lexical = self._index.with_words(rare, max(limit, _CANDIDATES))
        lexical_ranks = {one: rank for rank, one in enumerate(lexical, 1)}

        candidates = list(dense_ranks.keys() | lexical_ranks.keys())
        held = self._index.words_of(candidates)
        # A passage that was written after the matrix was read is for the next search.
        rows = dict(zip(candidates, np.searchsorted(matrix.ids, candidates), strict=True))
        scored: list[tuple[float, float, float, int]] = []
        for one in candidates:
            row = int(rows[one])
            if one not in held or row >= len(matrix.ids) or matrix.ids[row] != one:
                continue
            coverage = _coverage(weights, held[one])
            dense = float(similarities[row])
            scored.append((dense + COVERAGE_WEIGHT * coverage, dense, coverage, one))
        scored.sort(key=lambda entry: (-entry[0], entry[3]))
        passages = self._index.passages([entry[3] for entry in scored[:limit]])
        return [
            ScoredPassage(passages[one], score, dense, coverage, dense_ranks.get(one, 0), lexical_ranks.get(one, 0))
            for score, dense, coverage, one in scored[:limit]
            if one in passages
        ]

    def similarity(self, text: str, others: Sequence[str]) -> list[float]:
        """The cosines, by the same embedder."""
        if not others:
            return []
        vectors = self._embedder.embed([text, *others])
        return [float(value) for value in vectors[1:] @ vectors[0]]

    def _weights(self, words: Sequence[str], passages: int) -> dict[str, float]:
        frequencies = self._index.frequencies(words)
        return {
            word: _weight(frequencies[word], passages) * (_IDENTIFIER_WEIGHT if is_identifier(word) else 1.0)
            for word in words
        }


def _weight(frequency: float, passages: int) -> float:
    """How much a word says, by the passages it stands in (the inverse document frequency of BM25)."""
    return math.log1p((passages - min(frequency, passages) + 0.5) / (frequency + 0.5))


def _coverage(weights: dict[str, float], held: frozenset[str]) -> float:
    whole = sum(weights.values())
    return sum(weight for word, weight in weights.items() if word in held) / whole if whole else 0.0


def _best(similarities: np.ndarray[tuple[int], np.dtype[np.float32]], count: int) -> list[int]:
    """The rows of the highest values, the highest first."""
    rows = np.arange(len(similarities))
    if count < len(similarities):
        rows = np.argpartition(-similarities, count)[:count]
    return [int(row) for row in rows[np.argsort(-similarities[rows], kind="stable")]]
