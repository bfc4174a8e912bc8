"""What else happens in a chat, besides messages: edits, deletions, and what people think of an answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bot.chat_message import ChatMessage


@dataclass(frozen=True, slots=True)
class MessageEdited:
    """A person changed a message; `message` is as it is now, with the id that it had."""

    message: ChatMessage


@dataclass(frozen=True, slots=True)
class MessageDeleted:
    """A person took a message back."""

    platform: str
    tenant: str
    channel: str
    message_id: str


@dataclass(frozen=True, slots=True)
class FeedbackGiven:
    """A person judged an answer; `at_s` is the platform's time, `reason` what they wrote of it, if anything."""

    platform: str
    question_id: str
    by: str
    verdict: Literal["good", "bad"]
    at_s: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StopPressed:
    """A person wants no answer any more; the platform has seen to it that they may say so."""

    platform: str
    question_id: str


ChatEvent = ChatMessage | MessageEdited | MessageDeleted | FeedbackGiven | StopPressed
"""Whatever a platform hands over; the same one twice is once."""
