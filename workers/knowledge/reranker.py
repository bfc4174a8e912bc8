"""A reranker: looks closer at the few best passages and puts them in a better order.

The implementations stand in `workers/knowledge/rerankers/`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from workers.knowledge.embedder import Embedder
from workers.knowledge.retriever import ScoredPassage


class Reranker(ABC):
    """Orders passages. May be called from many threads at once."""

    @abstractmethod
    def rerank(self, text: str, hits: Sequence[ScoredPassage]) -> list[ScoredPassage]:
        """The same passages with other scores, the best first."""


def open_reranker(name: str, embedder: Embedder) -> Reranker | None:
    """The reranker of the setting knowledge.reranker; None for "none"."""
    if name == "none":
        return None
    if name == "sentences":
        from workers.knowledge.rerankers.sentences import SentenceReranker

        return SentenceReranker(embedder)
    raise ValueError(f"no reranker is called {name!r}")
