"""The gate: whether the passages that were found answer the question, before any model is asked.

Small models invent an answer to whatever they are asked, so that "it is not here" has to be said before them.
The implementations stand in `workers/gates/`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from contract.turn import Turn
from workers.knowledge.retriever import ScoredPassage

Verdict = Literal["answer", "not_found", "small_talk", "not_question"]

COMPARED_HITS = 16
"""How many passages a gate wants to see, where there are as many: it compares the best with the next."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate decided. `score` says how likely the passages answer the question, 0 to 1.

    From `min_score` on the question is answered. `sure`: whether the score is high enough to speak unasked.
    `reasons` are what it saw, as "name=value", for whoever asks why. `talk` names the kind of small talk, one of
    greeting, thanks, goodbye and about, where it is one of them.
    """

    verdict: Verdict
    score: float
    reasons: tuple[str, ...]
    talk: str = ""
    min_score: float = 0.0
    sure: bool = False


class Gate(ABC):
    """Decides about a question. May be called from many threads at once; searches nothing and remembers no question."""

    @abstractmethod
    def decide(
        self, question: str, hits: Sequence[ScoredPassage], turns: Sequence[Turn], bases: Collection[str] = ()
    ) -> Decision:
        """Decide from the question, the passages found for it (the best first) and the thread so far.

        `bases` are the knowledge bases that were searched; none means the default one.
        """
