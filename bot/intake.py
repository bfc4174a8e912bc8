"""What to do with a chat message: ask it, say a sentence, or be silent.

A named list of small filters; the first that has something to say decides. No filter touches Redis: what they need
to know beyond the message stands in `Facts`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from bot.chat_message import ChatMessage
from bot.plain_text import clean, language_of
from contract.question import MAX_QUESTION_CHARACTERS, Question, question_id

FORGOTTEN_AFTER_S = 3_600.0
"""A message that arrives later than this after it was written is not even refused: nobody waits for it any more."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the filters know beyond the message. `now_s` is seconds since the epoch."""

    now_s: float
    thread_is_ours: bool = False


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """What the filters measure against."""

    answer_ttl_s: float
    max_characters: int = MAX_QUESTION_CHARACTERS


@dataclass(frozen=True, slots=True)
class Silence:
    """Say nothing; `reason` is for the log and the metric."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Say the fixed sentence ``refused_<reason>``, in answer to `question`."""

    question: Question
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A filter's verdict that is told to the asker."""

    reason: str


Decision = Question | Refusal | Silence
Filter = Callable[[ChatMessage, Facts, IntakeLimits], Silence | Refused | None]


def from_a_bot(message: ChatMessage, _facts: Facts, _limits: IntakeLimits) -> Silence | None:
    """Bots are not answered: two that answer each other never stop."""
    return Silence("from_a_bot") if message.from_bot else None


def not_for_us(message: ChatMessage, facts: Facts, _limits: IntakeLimits) -> Silence | None:
    """A group's message is for us when it mentions us, or goes on in a thread that we are in."""
    if message.is_direct or message.mentions_us or facts.thread_is_ours:
        return None
    return Silence("not_for_us")


def too_old(message: ChatMessage, facts: Facts, limits: IntakeLimits) -> Silence | Refused | None:
    """A message that was written long ago is not answered as if it were new."""
    age_s = facts.now_s - message.at_s
    if age_s > max(FORGOTTEN_AFTER_S, limits.answer_ttl_s):
        return Silence("forgotten")
    return Refused("too_old") if age_s > limits.answer_ttl_s else None


def empty(message: ChatMessage, _facts: Facts, _limits: IntakeLimits) -> Silence | Refused | None:
    """Nothing but a mention is asked what it wants; a wordless message in a thread is none of our business."""
    if message.text:
        return None
    return Refused("empty") if message.is_direct or message.mentions_us else Silence("empty")


def too_long(message: ChatMessage, _facts: Facts, limits: IntakeLimits) -> Refused | None:
    """A novel is no question."""
    return Refused("too_long") if len(message.text) > limits.max_characters else None


FILTERS: Mapping[str, Filter] = {
    "from_a_bot": from_a_bot,
    "not_for_us": not_for_us,
    "too_old": too_old,
    "empty": empty,
    "too_long": too_long,
}
"""In the order in which they are asked."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Turns a chat message into a question, a refusal, or silence."""

    limits: IntakeLimits
    filters: Mapping[str, Filter] = field(default_factory=lambda: FILTERS)

    def decide(self, message: ChatMessage, facts: Facts) -> Decision:
        """Ask each filter in turn; a message that none of them stops is a question."""
        tidy = replace(message, text=clean(message.text))
        for ask in self.filters.values():
            verdict = ask(tidy, facts, self.limits)
            if isinstance(verdict, Silence):
                return verdict
            if isinstance(verdict, Refused):
                return Refusal(_question(tidy, facts), verdict.reason)
        return _question(tidy, facts)


def _question(message: ChatMessage, facts: Facts) -> Question:
    return Question(
        id=question_id(message.platform, message.tenant, message.channel, message.message_id),
        platform=message.platform,
        tenant=message.tenant,
        channel=message.channel,
        thread=message.thread,
        message_id=message.message_id,
        asker=message.sender,
        asker_name=clean(message.sender_name),
        text=message.text[:MAX_QUESTION_CHARACTERS],
        language=language_of(message.text),
        # A platform's clock may run ahead of ours; a question is not asked in the future.
        asked_at_s=min(message.at_s, facts.now_s),
        accepted_at_s=facts.now_s,
        address=message.address,
    )
