"""The language model's reranker: a passage is the better, the likelier it makes the question to a chat model.

It looks at the few best passages in the question's language, and only where the best of two documents are close: else
the search knows the answer already. The model judges languages that it reads alone. Measured on questions that the
weights below were not chosen by, it is what helps most (docs/quality.md).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

import structlog

from workers.knowledge.document import KnowledgeError
from workers.knowledge.model_process import ModelProcess
from workers.knowledge.reranker import Reranker
from workers.knowledge.retriever import ScoredPassage
from workers.knowledge.words import Language, language_of

log = structlog.get_logger(__name__)

LIKELIHOOD_WEIGHT = 0.2  # of a mean log probability against a score of the search
CLOSE = 0.1  # how far the best document may be ahead of the next in score, to be looked at
LOOKED_AT = 6  # passages
_TIMEOUT_S = 20.0
_PAUSE_S = 60.0  # without the model after it failed, so that not every question waits for it


class LikelihoodReranker(Reranker):
    """Asks a model in a process of its own; what fails there leaves the search's order, and a warning in the log."""

    def __init__(self, process: ModelProcess, languages: Collection[Language]) -> None:
        self._process = process
        self._languages = frozenset(languages)
        self._paused_until_s = 0.0

    def prepare(self) -> None:
        """Load the model."""
        try:
            _ = self._process.about
        except KnowledgeError as error:
            self._pause(error)

    def rerank(self, text: str, hits: Sequence[ScoredPassage]) -> list[ScoredPassage]:
        """The passages that are compared change places among themselves; the others keep theirs."""
        language = language_of(text)
        if language not in self._languages or not _close(hits) or time.monotonic() < self._paused_until_s:
            return list(hits)
        compared = [hit for hit in hits if hit.passage.language == language][:LOOKED_AT]
        if len(compared) < 2:
            return list(hits)
        said = [f"{hit.passage.label}\n\n{hit.passage.text}" for hit in compared]
        try:
            likelihoods = self._process.ask("likelihoods", (text, said), _TIMEOUT_S)
        except KnowledgeError as error:
            self._pause(error)
            return list(hits)
        judged = {
            hit.passage.id: hit.score + LIKELIHOOD_WEIGHT * likelihood
            for hit, likelihood in zip(compared, likelihoods, strict=True)
        }
        better = iter(sorted(compared, key=lambda hit: -judged[hit.passage.id]))
        return [next(better) if hit.passage.id in judged else hit for hit in hits]

    def _pause(self, error: KnowledgeError) -> None:
        self._paused_until_s = time.monotonic() + _PAUSE_S
        log.warning("passages keep the order of the search", reason=str(error), for_s=_PAUSE_S)


def _close(hits: Sequence[ScoredPassage]) -> bool:
    other = next((hit for hit in hits if hit.passage.source != hits[0].passage.source), None)
    return other is not None and hits[0].score - other.score < CLOSE
