"""A chat platform: where questions come from and answers go.

The implementations stand in `bot/platforms/`, one file each, and do not know each other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.chat_message import ChatMessage
from contract.answer import Citation, Outcome
from contract.errors import FennelError
from contract.question import Question


class PlatformError(FennelError):
    """The platform cannot be used as it is set up; the sentence says what is missing."""


class LinkDeadError(PlatformError):
    """The link to the platform is gone and does not come back; the process ends so that supervisord acts."""


class SendRefusedError(PlatformError):
    """The platform refused what we sent, for good: nothing was shown, and trying again would not help."""


class SendLaterError(PlatformError):
    """The platform did not take it now; nothing was shown. Try again after `after_s` seconds."""

    def __init__(self, sentence: str, after_s: float) -> None:
        super().__init__(sentence)
        self.after_s = after_s


class SendAmbiguousError(PlatformError):
    """The connection broke while sending: it may be shown, or not. `Platform.find` has to tell."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the asker is to see now, whole: the text so far, or the end of it with its citations.

    `outcome` is None while the answer is growing. The text is final Markdown in the question's language; a platform
    turns it into its own form and splits it where it is too long.
    """

    question: Question
    text: str
    citations: tuple[Citation, ...] = ()
    outcome: Outcome | None = None


Receive = Callable[[ChatMessage], Awaitable[None]]
"""Takes a message in for good. Returns when it is safe in Redis (or rightly ignored): only then may the platform's
event be acknowledged. Raises when it is not: then it must not be."""


class Platform(ABC):
    """One account on one chat platform."""

    name: str
    account: str
    """Two processes with the same name and account would answer twice; a lock in Redis keeps the second one out."""

    @abstractmethod
    async def listen(self, receive: Receive) -> None:
        """Keep the link up and hand over each message; returns only when it is closed. Raises LinkDeadError."""

    @abstractmethod
    async def send(self, reply: Reply) -> str:
        """Show a new reply in the chat and return the platform's id of it.

        Raises SendRefusedError, SendLaterError or SendAmbiguousError.
        """

    @abstractmethod
    async def edit(self, sent_id: str, reply: Reply) -> None:
        """Make the shown reply look like this; twice the same is once. Raises the same errors as `send`."""

    @abstractmethod
    async def find(self, question: Question) -> str | None:
        """The id of our reply to this question if it is shown in the chat; resolves an ambiguous send."""

    @abstractmethod
    async def close(self) -> None:
        """Close the link; `listen` returns."""
