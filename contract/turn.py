"""A turn: one question and its answer, as the thread remembers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from contract.wire import WireRecord, need


@dataclass(frozen=True, slots=True)
class Turn(WireRecord):
    """Who asked what, and what Fennel answered; the next question of the thread is understood from it.

    `place` counts from 0 in the thread: the first turn that is kept tells how many before it were cut. `tokens` is
    about how long the turn is in a prompt.
    """

    KIND: ClassVar[str] = "turn"

    question_id: str
    asker: str
    asker_name: str
    question: str
    answer: str
    at_s: float
    place: int = 0
    tokens: int = 0

    def __post_init__(self) -> None:
        for name in ("question_id", "asker", "asker_name", "question", "answer"):
            need(getattr(self, name), str, name)
        need(self.at_s, (int, float), "at_s")
        need(self.place, int, "place")
        need(self.tokens, int, "tokens")
