"""When to say nothing: not everything that is heard was said to us."""

from __future__ import annotations

from contract.answer import FinalAnswer, Outcome
from contract.question import Question

UNCALLED = frozenset({"ambient", "follow_up"})
"""Ways of being heard in which nobody said our name: there we do not show that we think, but only what comes of it."""
POLITE = frozenset({"thanks", "goodbye"})
"""Small talk in a thread of ours that wants an answer."""


def keeps_silent(question: Question, final: FinalAnswer) -> bool:
    """Whether an end is not worth a message: nobody asked us, and we have nothing to say."""
    if question.heard == "ambient":
        return final.outcome is not Outcome.ANSWERED
    return question.heard == "follow_up" and final.outcome is Outcome.SMALL_TALK and final.reason not in POLITE
