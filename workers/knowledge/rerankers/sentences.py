"""The sentences' reranker: a passage is as near as its nearest sentence, too.

It embeds every sentence of the best passages, some hundred, which takes the bundled embedder a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Sequence

from workers.knowledge.embedder import Embedder
from workers.knowledge.reranker import Reranker
from workers.knowledge.retriever import ScoredPassage
from workers.knowledge.sentence import sentences

SENTENCE_WEIGHT = 0.5


class SentenceReranker(Reranker):
    """Orders by the score and a share of the best sentence's nearness."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def rerank(self, text: str, hits: Sequence[ScoredPassage]) -> list[ScoredPassage]:
        """One call of the embedder for all sentences, one for the question."""
        said = [
            (at, f"{hit.passage.label}: {one.text}")
            for at, hit in enumerate(hits)
            for one in sentences(hit.passage.text)
        ]
        if not said:
            return list(hits)
        vectors = self._embedder.embed([sentence for _, sentence in said])
        best = [-1.0] * len(hits)
        for (at, _), similarity in zip(said, vectors @ self._embedder.embed_question(text), strict=True):
            best[at] = max(best[at], float(similarity))
        judged = {hit.passage.id: hit.score + SENTENCE_WEIGHT * best[at] for at, hit in enumerate(hits)}
        return sorted(hits, key=lambda hit: -judged[hit.passage.id])
