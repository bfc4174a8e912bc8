"""A retriever: finds the passages that may answer a question.

The implementations stand in `workers/knowledge/retrievers/`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.passage import Passage


@dataclass(frozen=True, slots=True)
class ScoredPassage:
    """A passage that was found, and why. Ranks begin at 1; 0 says that this side did not find it."""

    passage: Passage
    score: float  # what the passages are ordered by
    dense: float  # nearness in meaning, -1 to 1
    coverage: float  # share of the question's words that stand in the passage, rare words counting more, 0 to 1
    dense_rank: int
    lexical_rank: int


class Retriever(ABC):
    """Finds passages. May be called from many threads at once."""

    @abstractmethod
    def search(self, text: str, limit: int, bases: Collection[str] = (DEFAULT_BASE,)) -> list[ScoredPassage]:
        """The best passages of these knowledge bases for this text, the best first.

        Raises KnowledgeError where the index cannot be read.
        """

    @abstractmethod
    def similarity(self, text: str, others: Sequence[str]) -> list[float]:
        """How near in meaning each of the others is to the text, -1 to 1."""
