"""How questions ended and how long answers took, over an hour, a day or a month."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from contract.answer import Outcome

HOUR_S, DAY_S = 3_600, 86_400
MONTH_S = 30 * DAY_S
SPANS = {"hour": (HOUR_S, 300), "day": (DAY_S, HOUR_S), "month": (MONTH_S, DAY_S)}
"""How far back each looks and how long one point of it is, in seconds."""
NO_QUESTIONS = frozenset({Outcome.SMALL_TALK, Outcome.REFUSED, Outcome.TOLD})
UNSERVED = frozenset({Outcome.FAILED, Outcome.EXPIRED, Outcome.BUSY})


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of one question: when it was shown (since the epoch), and how long it took from its acceptance."""

    at_s: float
    outcome: Outcome
    took_s: float


@dataclass(frozen=True, slots=True)
class Point:
    """What ended within one stretch of time that begins at `at_s`. Times are None where nothing was answered."""

    at_s: float
    answered: int = 0
    not_found: int = 0
    unserved: int = 0
    median_s: float | None = None
    slow_s: float | None = None
    """95 of 100 answers took at most this long."""

    @property
    def asked(self) -> int:
        """All questions of which there was something to say."""
        return self.answered + self.not_found + self.unserved

    @property
    def answered_share(self) -> float | None:
        """The share of them that was answered; None where there were none."""
        return self.answered / self.asked if self.asked else None


def points(ended: Sequence[Ended], span: str, now_s: float) -> list[Point]:
    """The span's points up to now, the oldest first, also those in which nothing ended."""
    whole_s, step_s = SPANS[span]
    last = int(now_s // step_s)
    first = last - whole_s // step_s + 1
    by_step: dict[int, list[Ended]] = {step: [] for step in range(first, last + 1)}
    for one in ended:
        step = int(one.at_s // step_s)
        if step in by_step and one.outcome not in NO_QUESTIONS:
            by_step[step].append(one)
    return [_point(step * step_s, here) for step, here in by_step.items()]


def _point(at_s: float, here: Sequence[Ended]) -> Point:
    times_s = sorted(one.took_s for one in here if one.outcome is Outcome.ANSWERED)
    return Point(
        at_s,
        answered=len(times_s),
        not_found=sum(one.outcome is Outcome.NOT_FOUND for one in here),
        unserved=sum(one.outcome in UNSERVED for one in here),
        median_s=statistics.median(times_s) if times_s else None,
        slow_s=times_s[min(len(times_s) - 1, int(0.95 * len(times_s)))] if times_s else None,
    )
