"""What the asker sees: an answer, or a fixed sentence, as the text of a reply that is safe on every platform."""

from __future__ import annotations

import math
import re

from bot.phrases import knows, phrase
from bot.plain_text import clean
from bot.platform import Reply
from contract.answer import Citation, FinalAnswer, Outcome
from contract.question import MAX_QUESTION_CHARACTERS, Question

# `@all`, `@everyone`, `@所有人` and their like call a whole group, however far into a text they stand.
_CALL_EVERYBODY = re.compile("@(?=all|every|here|channel|room|group|team|online|所有人|全体|大家)", re.IGNORECASE)
# Slack's <!channel> and <@U1>, WeCom's <@user>, Lark's <at id=all>: forms that the platform itself would read.
_CALL_IN_MARKUP = re.compile(r"<(?=\s*/?\s*(?:!|@|at\b))", re.IGNORECASE)
SAID = frozenset({Outcome.ANSWERED, Outcome.SMALL_TALK, Outcome.TOLD, Outcome.REFUSED})
"""Outcomes whose text is shown, where there is one; the others have their sentence alone."""
_KEEPS_LINE = re.compile(r"\s*\n\s*")


def safe(text: str) -> str:
    """The text without control characters and zero-width tricks, calling nobody."""
    return _CALL_IN_MARKUP.sub("＜", _CALL_EVERYBODY.sub("＠", clean(text)))


def thinking(question: Question) -> Reply:
    """The question is being worked on."""
    return Reply(question, phrase(question.language, "thinking"), is_notice=True)


def queued(question: Question, before: int) -> Reply:
    """The question waits, and `before` others before it."""
    if before > 0:
        return Reply(question, phrase(question.language, "queued", before=before), is_notice=True)
    return Reply(question, phrase(question.language, "queued_next"), is_notice=True)


def growing(question: Question, text: str) -> Reply:
    """The answer as far as it is made; nothing yet: that we think."""
    return Reply(question, safe(text)) if text.strip() else thinking(question)


def ended(question: Question, final: FinalAnswer) -> Reply:
    """How the question ended."""
    text = safe(final.text) if final.outcome in SAID else ""
    # An answer without a word is a fault of ours, and not for the asker to guess at.
    outcome = Outcome.FAILED if final.outcome is Outcome.ANSWERED and not text else final.outcome
    if outcome is not Outcome.ANSWERED:
        said = text or sentence(question, outcome, final.reason)
        return Reply(question, said, outcome=outcome, mentions=final.mentions)
    return Reply(question, text, final.citations, numbered(question.language, final.citations), outcome)


def sentence(question: Question, outcome: Outcome, reason: str = "") -> str:
    """The fixed sentence for an outcome, the one for its reason where there is one."""
    key = f"{outcome.value}_{reason}"
    return phrase(
        question.language,
        key if knows(key) else outcome.value,
        id=question.id,
        limit=MAX_QUESTION_CHARACTERS,
    )


def numbered(language: str, citations: tuple[Citation, ...]) -> str:
    """The sources as a numbered list with its heading; nothing where there are none."""
    if not citations:
        return ""
    lines = (f"[{number}] {source_line(citation)}" for number, citation in enumerate(citations, start=1))
    return "\n".join([phrase(language, "sources"), *lines])


def duration(seconds: float, language: str) -> str:
    """A time as a person reads it, rounded up."""
    if seconds <= 90:
        return phrase(language, "wait_seconds", count=max(1, math.ceil(seconds)))
    return phrase(language, "wait_minutes", count=math.ceil(seconds / 60))


def source_line(citation: Citation) -> str:
    """One citation in one line: its title and where it is."""
    title, source = (_KEEPS_LINE.sub(" ", safe(part)) for part in (citation.title, citation.source))
    return f"{title} — {source}" if title and title != source else source
