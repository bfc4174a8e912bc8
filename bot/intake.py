"""What to do with a chat message: ask it, say a sentence, or be silent.

A named list of small filters; the first that has something to say decides. No filter touches Redis: what they need
to know beyond the message stands in `Facts`. They are asked twice: first with what is known without Redis, so that
most of a group's talk costs nothing, then with all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from bot.access import Access, place_of
from bot.admission import Admission
from bot.channel_rules import ChannelRules, hours_of, is_at_work
from bot.chat_message import ChatMessage
from bot.plain_text import clean, language_of
from bot.rendering import duration
from contract.question import MAX_QUESTION_CHARACTERS, Question, question_id

FORGOTTEN_AFTER_S = 3_600.0
"""A message that arrives later than this after it was written is not even refused: nobody waits for it any more."""


NOTHING_KNOWN = Admission()


@dataclass(frozen=True, slots=True)
class Facts:
    """What the filters know beyond the message. `now_s` is seconds since the epoch."""

    now_s: float
    thread_is_ours: bool = False
    is_command: bool = False
    admission: Admission = NOTHING_KNOWN


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """What the filters measure against. Without `access` everybody may ask, without `channels` at any time.

    `restored_at_s`: when Redis' data came out of a backup; 0 where it did not.
    """

    answer_ttl_s: float
    max_characters: int = MAX_QUESTION_CHARACTERS
    access: Access | None = None
    channels: ChannelRules | None = None
    restored_at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Silence:
    """Say nothing; `reason` is for the log and the metric."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Say the fixed sentence ``refused_<reason>`` with these values, in answer to `question`."""

    question: Question
    reason: str
    values: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """A filter's verdict that is told to the asker, with the values of its sentence."""

    reason: str
    values: Mapping[str, str | int] = field(default_factory=dict)


Decision = Question | Refusal | Silence
Filter = Callable[[ChatMessage, Facts, IntakeLimits], Silence | Refused | None]


def from_a_bot(message: ChatMessage, _facts: Facts, limits: IntakeLimits) -> Silence | None:
    """Bots are not answered, unless listed: two that answer each other never stop."""
    if not message.from_bot or (limits.access is not None and limits.access.is_answered_bot(message)):
        return None
    return Silence("from_a_bot")


def before_the_restore(message: ChatMessage, _facts: Facts, limits: IntakeLimits) -> Silence | None:
    """What was written before Redis' data came out of a backup may have been answered already: nobody can tell."""
    return Silence("before_the_restore") if message.at_s < limits.restored_at_s else None


def denied(message: ChatMessage, _facts: Facts, limits: IntakeLimits) -> Silence | None:
    """Whoever is on a list of those who get no word gets none."""
    return Silence("denied") if limits.access is not None and limits.access.is_denied(message) else None


def not_for_us(message: ChatMessage, facts: Facts, _limits: IntakeLimits) -> Silence | None:
    """A group's message is for us when it mentions us, or goes on in a thread that we are in."""
    if _calls_us(message) or facts.thread_is_ours:
        return None
    return Silence("not_for_us")


def to_somebody_else(message: ChatMessage, _facts: Facts, _limits: IntakeLimits) -> Silence | None:
    """In a thread of ours people may turn to each other: what begins with another's name is theirs."""
    return Silence("to_somebody_else") if not _calls_us(message) and message.text.startswith("@") else None


def in_a_loop(_message: ChatMessage, facts: Facts, _limits: IntakeLimits) -> Silence | None:
    """Another bot that has had its turns is answered no more for a while; a word about it would be one turn more."""
    return Silence("bot_loop") if facts.admission.short == "bot" else None


def not_allowed(message: ChatMessage, _facts: Facts, limits: IntakeLimits) -> Silence | Refused | None:
    """Somebody, or some place, that is not on the list of those who are answered is told so."""
    reason = limits.access.refusal(message) if limits.access is not None else ""
    return _refused(message, reason) if reason else None


def too_old(message: ChatMessage, facts: Facts, limits: IntakeLimits) -> Silence | Refused | None:
    """A message that was written long ago is not answered as if it were new."""
    age_s = facts.now_s - message.at_s
    if age_s > max(FORGOTTEN_AFTER_S, limits.answer_ttl_s):
        return Silence("forgotten")
    return Refused("too_old") if age_s > limits.answer_ttl_s else None


def paused(message: ChatMessage, facts: Facts, _limits: IntakeLimits) -> Silence | Refused | None:
    """Where an admin has paused us, only commands are heard."""
    return _refused(message, "paused") if facts.admission.is_paused and not facts.is_command else None


def off_hours(message: ChatMessage, facts: Facts, limits: IntakeLimits) -> Silence | Refused | None:
    """Outside of the channel's hours we tell them; commands are heard."""
    if limits.channels is None or facts.is_command:
        return None
    channel = limits.channels.of(place_of(message))
    if is_at_work(channel, facts.now_s):
        return None
    return _refused(message, "outside_hours", hours=hours_of(channel, language_of(message.text)))


def limited(message: ChatMessage, facts: Facts, _limits: IntakeLimits) -> Silence | Refused | None:
    """Who has asked too much is told once in a while when there is room again."""
    admission = facts.admission
    if not admission.short:
        return None
    if not admission.tells:
        return Silence("limited")
    return Refused(f"limited_{admission.short}", {"wait": duration(admission.wait_s, language_of(message.text))})


def empty(message: ChatMessage, _facts: Facts, _limits: IntakeLimits) -> Silence | Refused | None:
    """Nothing but a mention is asked what it wants; a wordless message in a thread is none of our business."""
    if message.text:
        return None
    return Refused("empty") if _calls_us(message) else Silence("empty")


def too_long(message: ChatMessage, _facts: Facts, limits: IntakeLimits) -> Refused | None:
    """A novel is no question."""
    return Refused("too_long") if len(message.text) > limits.max_characters else None


FILTERS: Mapping[str, Filter] = {
    "from_a_bot": from_a_bot,
    "before_the_restore": before_the_restore,
    "denied": denied,
    "not_for_us": not_for_us,
    "to_somebody_else": to_somebody_else,
    "in_a_loop": in_a_loop,
    "not_allowed": not_allowed,
    "too_old": too_old,
    "paused": paused,
    "off_hours": off_hours,
    "limited": limited,
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
                return Refusal(question_of(tidy, facts.now_s), verdict.reason, verdict.values)
        return question_of(tidy, facts.now_s)


def question_of(message: ChatMessage, now_s: float, heard: str = "") -> Question:
    """The question that the message asks. `heard` says how it came to us, where the message does not."""
    called = "direct" if message.is_direct else "mention" if message.mentions_us else "follow_up"
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
        asked_at_s=min(message.at_s, now_s),
        accepted_at_s=now_s,
        address=message.address,
        heard=heard or called,
    )


def _calls_us(message: ChatMessage) -> bool:
    return message.is_direct or message.mentions_us


def _refused(message: ChatMessage, reason: str, **values: str | int) -> Silence | Refused:
    """Whoever called us is told; who just went on in a thread is not."""
    return Refused(reason, values) if _calls_us(message) else Silence(reason)
