"""An answer: what goes back to the chat, whole or as far as it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Self

from contract.wire import WireRecord, need


class Outcome(StrEnum):
    """How a question ended. Everything but ANSWERED and SMALL_TALK is said by a fixed sentence."""

    ANSWERED = "answered"
    NOT_FOUND = "not_found"  # nothing in the knowledge base answers it
    SMALL_TALK = "small_talk"  # a greeting or thanks: a short friendly word
    FAILED = "failed"  # something of ours broke
    EXPIRED = "expired"  # waited longer than answer_ttl_s
    BUSY = "busy"  # the queue was full
    STOPPED = "stopped"  # stopped by a person
    REFUSED = "refused"  # empty, too long: `reason` says which
    TOLD = "told"  # what a command of the chat says; only ever written by a bot
    WITHDRAWN = "withdrawn"  # an answer that was shown and taken away again; only ever written by a bot


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage that an answer rests on. `source` is the document's path or URL, `quote` its own words."""

    title: str
    source: str
    quote: str

    def __post_init__(self) -> None:
        for name in ("title", "source", "quote"):
            need(getattr(self, name), str, name)


@dataclass(frozen=True, slots=True)
class PartialAnswer(WireRecord):
    """The answer's whole text so far. An empty text says that the work on it has begun. May be lost."""

    KIND: ClassVar[str] = "partial"

    question_id: str
    text: str

    def __post_init__(self) -> None:
        need(self.question_id, str, "question_id")
        need(self.text, str, "text")


@dataclass(frozen=True, slots=True)
class FinalAnswer(WireRecord):
    """The end of a question; there is exactly one for each that was accepted.

    `question` is its wire form, so that whoever delivers needs nothing else.
    `reason` is for the asker's eyes: a key of the fixed sentences, never a traceback.
    Times are milliseconds since the question was accepted.
    `versions` says what made it: the program, the model, the embedder, the knowledge base.
    `mentions` are people to call, by the platform's ids; only ever written by a bot.
    """

    KIND: ClassVar[str] = "final"

    question: str
    outcome: Outcome
    text: str = ""
    citations: tuple[Citation, ...] = ()
    reason: str = ""
    queued_ms: int = 0
    first_text_ms: int = 0
    total_ms: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    mentions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        need(self.question, str, "question")
        need(self.text, str, "text")
        need(self.reason, str, "reason")
        for name in ("queued_ms", "first_text_ms", "total_ms"):
            need(getattr(self, name), int, name)
        need(self.versions, Mapping, "versions")
        object.__setattr__(self, "versions", {str(key): str(value) for key, value in self.versions.items()})

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Build it from JSON, where an outcome is a word and a citation an object."""
        values = dict(body)
        values["outcome"] = Outcome(values["outcome"])
        values["citations"] = tuple(
            Citation(str(one["title"]), str(one["source"]), str(one["quote"])) for one in values.get("citations", ())
        )
        values["mentions"] = tuple(str(one) for one in values.get("mentions", ()))
        # dataclass(slots=True) makes the class anew, so that a bare super() would look at the first one.
        return super(FinalAnswer, cls).from_body(values)
