"""A chat platform: where questions come from and answers go.

The implementations stand in `bot/platforms/`, one file each, and do not know each other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.chat_event import ChatEvent
from bot.lock import AccountLock
from contract.answer import Citation, Outcome
from contract.errors import FennelError
from contract.question import Question


class PlatformError(FennelError):
    """Root of what goes wrong with a chat platform; the sentence says what."""


class NotConfiguredError(PlatformError):
    """The platform is not set up; the sentence says which settings it wants. The process ends without an error."""


class LinkDeadError(PlatformError):
    """The link to the platform is gone and does not come back; the process ends so that supervisord acts."""


class LinkTakenError(LinkDeadError):
    """Another instance has taken the link. Taking it back would only make the other one do the same, for ever."""


class SendRefusedError(PlatformError):
    """The platform refused what we sent, for good: nothing was shown, and trying again would not help."""


class TooLateToEditError(SendRefusedError):
    """The platform does not let this message be edited any more (or it was deleted); a new one may be sent."""


class SendLaterError(PlatformError):
    """The platform did not take it now; nothing was shown. Try again after `after_s` seconds."""

    def __init__(self, sentence: str, after_s: float) -> None:
        super().__init__(sentence)
        self.after_s = after_s


class SendAmbiguousError(PlatformError):
    """The connection broke while sending: it may be shown, or not. `Platform.find` has to tell.

    Raise it also where an edit broke: that is just done again.
    """


@dataclass(frozen=True, slots=True)
class Reply:
    """What the asker is to see now, whole: the text so far, or the end of it with its citations.

    `outcome` is None while the answer is growing. The text is final Markdown in the question's language, free of
    control characters and of mentions of everyone; a platform turns it into its own form and splits it where it is
    too long. `sources` is the numbered list of the citations with its heading, for a platform without a better form.
    """

    question: Question
    text: str
    citations: tuple[Citation, ...] = ()
    sources: str = ""
    outcome: Outcome | None = None
    mentions: tuple[str, ...] = ()
    """People to call, by the platform's ids; it writes them in its own form. They come from the settings alone."""
    is_notice: bool = False
    """A sentence that stands there until the answer begins: that we think, that the question is queued."""

    @property
    def whole(self) -> str:
        """The text with the people that it calls before it and the sources below it."""
        called = " ".join([*(f"@{person}" for person in self.mentions), self.text])
        return f"{called}\n\n{self.sources}" if self.sources else called


Receive = Callable[[ChatEvent], Awaitable[None]]
"""Takes an event in for good. Returns when it is safe in Redis (or rightly ignored): only then may the platform's
event be acknowledged. Raises when it is not: then it must not be."""


class Platform(ABC):
    """One account on one chat platform."""

    name: str
    account: str
    """Two processes with the same name and account would answer twice; a lock in Redis keeps the second one out."""
    thinks_at_once: bool = False
    """Show that we think as soon as a question is accepted, and not only when a worker has begun with it."""
    settle_s: float = 3.0
    """After a send broke: how long it may take until `find` sees a reply that was taken after all."""
    same_send_is_once_for_s: float = 0.0
    """For how long a second `send` for the same question gives the first one's id instead of showing another reply
    (an idempotency key). Within it a send that broke is done again, and then edited; behind it `find` is asked."""

    def hold(self, lock: AccountLock) -> None:
        """The account is ours, before anything else is called: what is kept in Redis is written through the lock."""
        del lock

    @abstractmethod
    async def listen(self, receive: Receive) -> None:
        """Keep the link up and hand over each message; returns only when it is closed. Raises LinkDeadError."""

    @abstractmethod
    async def send(self, reply: Reply) -> str:
        """Show a new reply in the chat and return the platform's id of it.

        Raises SendRefusedError, SendLaterError or SendAmbiguousError. Does not try again by itself: a second try
        of a send that broke could be shown twice.
        """

    @abstractmethod
    async def edit(self, sent_id: str, reply: Reply) -> None:
        """Make the shown reply look like this; twice the same is once.

        Raises the same errors as `send`, and TooLateToEditError where a new reply has to be sent in its place.
        """

    @abstractmethod
    async def find(self, question: Question) -> str | None:
        """The id of our newest reply to this question if one is shown in the chat; resolves an ambiguous send.

        Raises SendLaterError or SendAmbiguousError where it cannot tell now, SendRefusedError where it never can (then
        the reply is sent again).
        """

    async def show_status(self, reply: Reply) -> float | None:
        """Show a notice in a form that is no message, such as a status line, while there is no message yet.

        Returns after how many seconds it has to be shown again if it still holds. None where it cannot be shown so:
        then it is sent as a message. Raises nothing that a caller has to know of.
        """
        del reply
        return None

    @abstractmethod
    async def close(self) -> None:
        """Close the link; `listen` returns. Nothing is sent after it. A second call does nothing."""
