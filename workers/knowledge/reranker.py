"""A reranker: looks closer at the few best passages and puts them in a better order.

The implementations stand in `workers/knowledge/rerankers/`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from config.settings import Settings
from workers.capability import capability_of
from workers.knowledge.embedder import Embedder
from workers.knowledge.retriever import ScoredPassage


class Reranker(ABC):
    """Orders passages. May be called from many threads at once."""

    @abstractmethod
    def rerank(self, text: str, hits: Sequence[ScoredPassage]) -> list[ScoredPassage]:
        """The same passages in another order, the best first; they come in the order of their scores."""

    def prepare(self) -> None:  # noqa: B027 -- most need nothing
        """Load what the first question would have to wait for."""


def open_reranker(settings: Settings, embedder: Embedder) -> Reranker | None:
    """The reranker of the setting knowledge.reranker; None for "none". Nothing is loaded yet."""
    knowledge = settings.knowledge
    if knowledge.reranker == "none":
        return None
    if knowledge.reranker == "sentences":
        from workers.knowledge.rerankers.sentences import SentenceReranker

        return SentenceReranker(embedder)
    from workers.knowledge.model_process import ModelProcess
    from workers.knowledge.rerankers.likelihood import LikelihoodReranker

    model = knowledge.reranker_model or settings.engine.model
    process = ModelProcess(f"the reranker {model}", "likelihood", settings.engine, settings.models_folder, model)
    return LikelihoodReranker(process, capability_of(model).languages)
