"""What a pipeline gives back that has no gate and no passages."""

from __future__ import annotations

from dataclasses import dataclass

from contract.answer import Citation, Outcome


@dataclass(frozen=True)
class PlainAnswer:
    """An `Answered` of workers/answerer.py: a text, and an answer unless said otherwise."""

    text: str
    outcome: Outcome = Outcome.ANSWERED
    citations: tuple[Citation, ...] = ()
    reason: str = ""
    first_text_at_s: float | None = None
    why: None = None
