"""The gate: whether the passages that were found answer the question, before any model is asked.

Small models invent an answer to whatever they are asked, so that "it is not here" has to be said before them.
The implementations stand in `workers/gates/`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from contract.turn import Turn
from workers.knowledge.retriever import ScoredPassage

Verdict = Literal["answer", "not_found", "small_talk"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate decided. `score` says how likely the passages answer the question, 0 to 1.

    `reasons` are what it saw, as "name=value", for whoever asks why. `talk` names the kind of small talk, one of
    greeting, thanks, goodbye and about, where it is one of them.
    """

    verdict: Verdict
    score: float
    reasons: tuple[str, ...]
    talk: str = ""


class Gate(ABC):
    """Decides about a question. May be called from many threads at once; looks nothing up and remembers nothing."""

    @abstractmethod
    def decide(self, question: str, hits: Sequence[ScoredPassage], turns: Sequence[Turn]) -> Decision:
        """Decide from the question, the passages found for it (the best first) and the thread so far."""
