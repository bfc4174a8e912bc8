"""Hybrid retrieval: nearness in meaning, and a little for the question's own words.

Paraphrases and questions in another language are found by the vectors, error codes and host names by their words.
A passage's score is its cosine plus a share of its coverage, the part of the question's words that it holds,
each word weighted by its rarity. A passage without a word in common gets nothing added, and nothing taken away.
Measured on the shipped questions (`python -m benchmarks.retrieval`), this found more than adding BM25's z-score
with any weight, and far more than fusing the two ranks as equals.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from config.settings import Settings
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.embedder import Embedder
from workers.knowledge.found import joined, without_duplicates
from workers.knowledge.reranker import Reranker, open_reranker
from workers.knowledge.retriever import Retriever, ScoredPassage
from workers.knowledge.store import Snapshot, Store
from workers.knowledge.words import content_terms, rarity

COVERAGE_WEIGHT = 0.35
_CANDIDATES = 32  # taken from each side; the best few of either are far above the last of them
_COMMON_SHARE = 0.25  # a word in more of the passages than this is not searched for; it still counts as covered
_MOST_POSTINGS = 4_000  # passages that the words searched for stand in, together: what a full-text search costs


class HybridRetriever(Retriever):
    """Searches a store by meaning and by words; with a reranker, the best of what it found once more.

    The weights are for measuring what each side finds alone.
    """

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        reranker: Reranker | None = None,
        *,
        dense_weight: float = 1.0,
        coverage_weight: float = COVERAGE_WEIGHT,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._reranker = reranker
        self._dense_weight = dense_weight
        self._coverage_weight = coverage_weight

    def search(self, text: str, limit: int, bases: Collection[str] = (DEFAULT_BASE,)) -> list[ScoredPassage]:
        """The passages with the highest cosine and share of words."""
        vector = self._embedder.embed_question(text)
        words = content_terms(text)
        wanted = max(limit, _CANDIDATES)
        with self._store.snapshot(bases) as snapshot:
            if not snapshot.size:
                return []
            dense = dict(snapshot.nearest(vector, wanted))
            dense_ranks = _ranks(dense)
            weights = _weights(words, snapshot)
            lexical_ranks = _ranks(snapshot.with_words(_searched(weights, snapshot), wanted))
            others = [one for one in lexical_ranks if one not in dense]
            dense |= {one: float(vector @ other) for one, other in snapshot.vectors(others).items()}
            held = snapshot.words_of(list(dense))
            coverage = {one: _coverage(weights, held[one]) for one in dense}
            scores = {
                one: self._dense_weight * dense[one] + self._coverage_weight * coverage[one]
                for one in dense
                if self._dense_weight or coverage[one]
            }
            best = sorted(scores, key=lambda one: (-scores[one], one))[:wanted]
            passages = snapshot.passages(best)
        hits = [
            ScoredPassage(
                passages[one],
                scores[one],
                dense[one],
                coverage[one],
                dense_ranks.get(one, 0),
                lexical_ranks.get(one, 0),
            )
            for one in best
        ]
        hits = without_duplicates(hits, held, 2 * limit)
        if self._reranker is not None:
            hits = _in_order(self._reranker.rerank(text, hits))
        return joined(hits)[:limit]

    def prepare(self) -> None:
        """Load what the first question would have to wait for."""
        if self._reranker is not None:
            self._reranker.prepare()

    def similarity(self, text: str, others: Sequence[str]) -> list[float]:
        """The cosines, by the same embedder."""
        if not others:
            return []
        return [float(value) for value in self._embedder.embed(others) @ self._embedder.embed_question(text)]


def open_retriever(settings: Settings, store: Store, embedder: Embedder) -> HybridRetriever:
    """The retriever of the settings, which workers and commands share, so that a command shows what a worker finds."""
    return HybridRetriever(store, embedder, open_reranker(settings, embedder))


def _in_order(hits: Sequence[ScoredPassage]) -> list[ScoredPassage]:
    """The passages as they stand, with their scores dealt out anew in order.

    What reads scores, the gate above all, so finds those of a search, whatever put the passages in order.
    """
    scores = sorted((hit.score for hit in hits), reverse=True)
    return [replace(hit, score=score) for hit, score in zip(hits, scores, strict=True)]


def _ranks(found: Collection[int]) -> dict[int, int]:
    return {one: rank for rank, one in enumerate(found, 1)}


def _weights(words: Sequence[str], snapshot: Snapshot) -> dict[str, tuple[float, int]]:
    """How much each word counts, and in how many passages it stands."""
    frequencies = snapshot.frequencies(words)
    return {word: (rarity(word, count, snapshot.size), count) for word, count in frequencies.items()}


def _searched(weights: Mapping[str, tuple[float, int]], snapshot: Snapshot) -> dict[str, float]:
    """The words worth searching for: the rarest, as far as their passages can be read through in a moment."""
    chosen: dict[str, float] = {}
    left = _MOST_POSTINGS
    for word, (weight, count) in sorted(weights.items(), key=lambda entry: entry[1][1]):
        left -= count
        if count > max(1.0, _COMMON_SHARE * snapshot.size) or left < 0:
            break
        if count:
            chosen[word] = weight
    return chosen


def _coverage(weights: Mapping[str, tuple[float, int]], said: Sequence[str]) -> float:
    held = frozenset(said)
    whole = sum(weight for weight, _ in weights.values())
    return sum(weight for word, (weight, _) in weights.items() if word in held) / whole if whole else 0.0
