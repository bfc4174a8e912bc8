"""Hybrid retrieval: nearness in meaning, and a little for the question's own words.

Paraphrases and questions in another language are found by the vectors, error codes and host names by their words.
A passage's score is its cosine plus a share of its coverage, the part of the question's words that it holds,
each word weighted by its rarity. A passage without a word in common gets nothing added, and nothing taken away.
Measured on the handbook's questions (`python -m benchmarks.quality`), this found more than adding BM25's z-score
with any weight, and far more than fusing the two ranks as equals.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.embedder import Embedder
from workers.knowledge.retriever import Retriever, ScoredPassage
from workers.knowledge.store import Snapshot, Store
from workers.knowledge.words import content_terms, is_identifier

COVERAGE_WEIGHT = 0.3
_IDENTIFIER_WEIGHT = 2.0
_CANDIDATES = 32  # taken from each side; the best few of either are far above the last of them
_COMMON_SHARE = 0.25  # a word in more of the passages than this is not searched for; it still counts as covered


class HybridRetriever(Retriever):
    """Searches a store by meaning and by words."""

    def __init__(self, store: Store, embedder: Embedder) -> None:
        self._store = store
        self._embedder = embedder

    def search(self, text: str, limit: int, bases: Collection[str] = (DEFAULT_BASE,)) -> list[ScoredPassage]:
        """The passages with the highest cosine and share of words."""
        vector = self._embedder.embed([text])[0]
        words = content_terms(text)
        with self._store.snapshot(bases) as snapshot:
            if not snapshot.size:
                return []
            near = dict(snapshot.nearest(vector, max(limit, _CANDIDATES)))
            dense_ranks = {one: rank for rank, one in enumerate(near, 1)}
            weights = _weights(snapshot, words)
            least = _weight(_COMMON_SHARE * snapshot.size, snapshot.size)
            rare = {word: weight for word, weight in weights.items() if weight >= least}
            lexical = snapshot.with_words(rare, max(limit, _CANDIDATES))
            lexical_ranks = {one: rank for rank, one in enumerate(lexical, 1)}
            others = [one for one in lexical if one not in near]
            near |= {one: float(vector @ other) for one, other in snapshot.vectors(others).items()}
            held = {one: frozenset(said) for one, said in snapshot.words_of(list(near)).items()}
            scored = []
            for one, dense in near.items():
                coverage = _coverage(weights, held[one])
                scored.append((dense + COVERAGE_WEIGHT * coverage, dense, coverage, one))
            scored.sort(key=lambda entry: (-entry[0], entry[3]))
            passages = snapshot.passages([entry[3] for entry in scored[:limit]])
        return [
            ScoredPassage(passages[one], score, dense, coverage, dense_ranks.get(one, 0), lexical_ranks.get(one, 0))
            for score, dense, coverage, one in scored[:limit]
        ]

    def similarity(self, text: str, others: Sequence[str]) -> list[float]:
        """The cosines, by the same embedder."""
        if not others:
            return []
        vectors = self._embedder.embed([text, *others])
        return [float(value) for value in vectors[1:] @ vectors[0]]


def _weights(snapshot: Snapshot, words: Sequence[str]) -> dict[str, float]:
    frequencies = snapshot.frequencies(words)
    return {
        word: _weight(frequencies[word], snapshot.size) * (_IDENTIFIER_WEIGHT if is_identifier(word) else 1.0)
        for word in words
    }


def _weight(frequency: float, passages: int) -> float:
    """How much a word says, by the passages it stands in (the inverse document frequency of BM25)."""
    return math.log1p((passages - min(frequency, passages) + 0.5) / (frequency + 0.5))


def _coverage(weights: dict[str, float], held: frozenset[str]) -> float:
    whole = sum(weights.values())
    return sum(weight for word, weight in weights.items() if word in held) / whole if whole else 0.0
