"""The curve of precision and recall, and what is read off it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.gates.wording import Numbers

Truth = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision and recall where everything from `scores[n]` on is answered; the scores fall."""

    scores: Numbers
    precision: Numbers
    recall: Numbers

    @classmethod
    def of(cls, scores: Numbers, answerable: Truth) -> Curve:
        """The curve of these scores. Equal scores are answered together or not at all."""
        order = np.argsort(-scores, kind="stable")
        sorted_scores, right = scores[order], np.cumsum(answerable[order])
        last_of_equals = np.flatnonzero(np.append(np.diff(sorted_scores) != 0, True))
        answered = last_of_equals + 1
        return cls(
            sorted_scores[last_of_equals],
            right[last_of_equals] / answered,
            right[last_of_equals] / max(1, int(answerable.sum())),
        )

    def recall_at(self, precision: float) -> float:
        """The most of the answerable that is answered while at least this share of the answers is right."""
        reached = self.precision >= precision
        return float(self.recall[reached].max()) if reached.any() else 0.0

    def score_at(self, precision: float) -> float | None:
        """The score that does so; None where no score does."""
        reached = np.flatnonzero(self.precision >= precision)
        if not len(reached):
            return None
        last = reached[np.argmax(self.recall[reached])]
        below = self.scores[last + 1] if last + 1 < len(self.scores) else self.scores[last]
        # In the middle between the last that is answered and the first that is not.
        return float((self.scores[last] + below) / 2)

    def best_f1(self) -> tuple[float, float]:
        """The highest F1, and the score that has it."""
        f1 = 2 * self.precision * self.recall / np.maximum(1e-12, self.precision + self.recall)
        return float(f1.max()), float(self.scores[int(f1.argmax())])


def auc(scores: Numbers, answerable: Truth) -> float:
    """The chance that an answerable question scores higher than one that is not (ties count half)."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    right = int(answerable.sum())
    wrong = len(answerable) - right
    return float((ranks[answerable].sum() - right * (right + 1) / 2) / (right * wrong))


def confusion(scores: Numbers, answerable: Truth, min_score: float) -> dict[str, int]:
    """How many were answered and refused, rightly and wrongly."""
    answered = scores >= min_score
    return {
        "answered_rightly": int((answered & answerable).sum()),
        "answered_wrongly": int((answered & ~answerable).sum()),
        "refused_rightly": int((~answered & ~answerable).sum()),
        "refused_wrongly": int((~answered & answerable).sum()),
    }
