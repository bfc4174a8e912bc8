"""The weighted gate: a few features of what was found, weighed into one score (a logistic regression).

Bare cosines do not tell what is in the documents from what is not: a passage about something near is as near as one
that answers. The margin over the next document and the share of the question's rare words help.
The length of a question is no feature: it told much on the shipped questions, and nothing that holds elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from contract.turn import Turn
from workers.gate import Decision, Gate
from workers.gates.small_talk import chats, small_talk
from workers.knowledge.retriever import ScoredPassage

_LOOKED_AT = 4  # passages whose best value counts
_NO_OTHER_MARGIN = 0.2  # the margin where nothing else was found: a base of one document


@dataclass(frozen=True, slots=True)
class Features:
    """What the gate sees of a question."""

    dense: float  # the best passage's nearness in meaning
    coverage: float  # the best share of the question's words in one passage
    margin: float  # how far the best document is ahead of the next

    @classmethod
    def of(cls, hits: Sequence[ScoredPassage]) -> Features:
        """The features of what was found; `hits` must not be empty."""
        top = hits[:_LOOKED_AT]
        others = [hit.score for hit in hits if hit.passage.source != hits[0].passage.source]
        return cls(
            dense=max(hit.dense for hit in top),
            coverage=max(hit.coverage for hit in top),
            margin=hits[0].score - max(others) if others else _NO_OTHER_MARGIN,
        )


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each feature counts."""

    dense: float
    coverage: float
    margin: float
    bias: float

    def score(self, features: Features) -> float:
        """How likely the passages answer, 0 to 1."""
        weighed = (
            self.dense * features.dense + self.coverage * features.coverage + self.margin * features.margin + self.bias
        )
        return 1.0 / (1.0 + math.exp(-weighed))


DEFAULT_WEIGHTS = Weights(dense=11.75, coverage=2.20, margin=8.79, bias=-4.84)
"""Learned from the shipped questions with `python -m benchmarks.quality --fit`, both kinds counting alike."""


class WeightedGate(Gate):
    """Answers what scores at least `min_score`."""

    def __init__(self, min_score: float, weights: Weights = DEFAULT_WEIGHTS) -> None:
        self._min_score = min_score
        self._weights = weights

    def decide(self, question: str, hits: Sequence[ScoredPassage], turns: Sequence[Turn]) -> Decision:
        """Small talk first, by its words; then the score."""
        del turns  # what the thread adds to the question is in the search already
        talk = small_talk(question)
        if talk is not None:
            return Decision("small_talk", 0.0, (f"small_talk={talk or 'other'}",), talk)
        if not hits:
            return Decision("not_found", 0.0, ("hits=0",))
        features = Features.of(hits)
        score = self._weights.score(features)
        reasons = (
            f"dense={features.dense:.3f}",
            f"coverage={features.coverage:.3f}",
            f"margin={features.margin:.3f}",
            f"min_score={self._min_score:.3f}",
        )
        if score >= self._min_score:
            return Decision("answer", score, reasons)
        if chats(question):
            return Decision("small_talk", score, (*reasons, "remark"))
        return Decision("not_found", score, reasons)
