"""The closer look: a passage is as near as its nearest sentence, too, and as its words are to the question's.

It embeds every sentence of the best passages, some hundred, and every word of theirs that it has not seen yet. The
bundled embedder takes a tenth of a second for the sentences, and as long for the words of the first questions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workers.knowledge.embedder import Embedder, Vectors
from workers.knowledge.reranker import Reranker
from workers.knowledge.rerankers.word_vectors import WordVectors
from workers.knowledge.retriever import ScoredPassage
from workers.knowledge.sentence import sentences
from workers.knowledge.words import content_terms, rarity

# Chosen on `python -m benchmarks.retrieval --hard`, from four weights of each.
SENTENCE_WEIGHT = 1.0
WORD_WEIGHT = 1.0


class SentenceReranker(Reranker):
    """Orders by the score, the best sentence's nearness, and how near the passage comes to each word."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._words = WordVectors(embedder)

    def rerank(self, text: str, hits: Sequence[ScoredPassage]) -> list[ScoredPassage]:
        """One call of the embedder for all sentences, one for the question, and some for new words."""
        by_sentence = self._by_sentence(self._embedder.embed_question(text), hits)
        by_word = self._by_word(content_terms(text), hits)
        judged = {
            hit.passage.id: hit.score + SENTENCE_WEIGHT * by_sentence[at] + WORD_WEIGHT * by_word[at]
            for at, hit in enumerate(hits)
        }
        return sorted(hits, key=lambda hit: -judged[hit.passage.id])

    def _by_sentence(self, asked: Vectors, hits: Sequence[ScoredPassage]) -> list[float]:
        """How near each passage's nearest sentence is, read below its headings; -1 where it has none."""
        said = [
            (at, f"{hit.passage.label}: {one.text}")
            for at, hit in enumerate(hits)
            for one in sentences(hit.passage.text)
        ]
        best = [-1.0] * len(hits)
        if said:
            vectors = self._embedder.embed([sentence for _, sentence in said])
            for (at, _), similarity in zip(said, vectors @ asked, strict=True):
                best[at] = max(best[at], float(similarity))
        return best

    def _by_word(self, wanted: Sequence[str], hits: Sequence[ScoredPassage]) -> list[float]:
        """The mean over the question's words of how near the passage's nearest word is, rare words counting more."""
        held = [content_terms(f"{hit.passage.label}\n{hit.passage.text}") for hit in hits]
        if not wanted:
            return [0.0] * len(hits)
        weights = np.array([rarity(word, sum(word in said for said in held), len(held)) for word in wanted])
        vectors = self._words.of([*wanted, *(word for said in held for word in said)])
        asked = np.stack([vectors[word] for word in wanted])
        nearest = [
            (asked @ np.stack([vectors[word] for word in said]).T).max(axis=1) if said else np.zeros(len(wanted))
            for said in held
        ]
        return [float(weights @ one / weights.sum()) for one in nearest]
