"""A turn: one question and its answer, as the thread remembers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from contract.wire import WireRecord, need


@dataclass(frozen=True, slots=True)
class Turn(WireRecord):
    """Who asked what, and what Fennel answered; the next question of the thread is understood from it."""

    KIND: ClassVar[str] = "turn"

    question_id: str
    asker: str
    asker_name: str
    question: str
    answer: str
    at_s: float

    def __post_init__(self) -> None:
        for name in ("question_id", "asker", "asker_name", "question", "answer"):
            need(getattr(self, name), str, name)
        need(self.at_s, (int, float), "at_s")
