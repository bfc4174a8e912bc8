"""What happened in each week: questions by how they ended, feedback, and how long answers took."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bot.feedback import Feedback
from contract.answer import FinalAnswer, Outcome


@dataclass(slots=True)
class Week:
    """One week, named as ISO 8601 does: ``2026-W47``, in UTC."""

    name: str
    asked: int = 0
    answered: int = 0
    not_found: int = 0
    good: int = 0
    bad: int = 0
    times_s: list[float] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        """How long half of the answers took at most."""
        return statistics.median(self.times_s) if self.times_s else 0.0

    @property
    def slowest_s(self) -> float:
        """How long the slowest answer took."""
        return max(self.times_s, default=0.0)


def weeks_of(shown: Iterable[tuple[float, FinalAnswer]], judged: Iterable[Feedback]) -> list[Week]:
    """The weeks in which anything happened, the oldest first. Small talk and refusals are no questions."""
    weeks: dict[str, Week] = {}
    for at_s, final in shown:
        if final.outcome in (Outcome.SMALL_TALK, Outcome.REFUSED):
            continue
        week = _week(weeks, at_s)
        week.asked += 1
        week.answered += final.outcome is Outcome.ANSWERED
        week.not_found += final.outcome is Outcome.NOT_FOUND
        if final.outcome is Outcome.ANSWERED:
            week.times_s.append(final.total_ms / 1000)
    for one in judged:
        week = _week(weeks, one.at_s)
        week.good += one.verdict == "good"
        week.bad += one.verdict == "bad"
    return [weeks[name] for name in sorted(weeks)]


def _week(weeks: dict[str, Week], at_s: float) -> Week:
    year, number, _ = datetime.fromtimestamp(at_s, UTC).isocalendar()
    name = f"{year}-W{number:02}"
    return weeks.setdefault(name, Week(name))
