"""What ``benchmarks.bot`` needs of a platform: a fake of it that tells events, and what came back for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Any, ClassVar, Protocol, Self


class Served(Protocol):
    """A fake platform as a server."""

    def start(self) -> Any:
        """Serve."""

    def stop(self) -> None:
        """Serve no more."""


class ChatLoad(ABC):
    """One run against a fresh fake platform, which serves while the block runs. Methods are called from one thread."""

    name: ClassVar[str]
    """As in ``python -m bot NAME``, and in the name of the file of results."""
    goals: ClassVar[Mapping[str, float]]
    """What is aimed at, by the measured figure's name; more is worse. Figures without a goal are just shown."""
    baseline: ClassVar[tuple[str, ...]]
    """A module and its arguments for ``python -m``: the vendor's own client, that acknowledges and does nothing."""

    streaming_chats: ClassVar[int] = 50
    """In how many chats answers stream at once; a platform without threads answers one question of a chat at a time."""

    def __init__(self, served: Served) -> None:
        self._served = served

    def __enter__(self) -> Self:
        self._served.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._served.stop()

    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """The settings that point a bot at the fake."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether somebody is connected, and would get an event now."""

    @abstractmethod
    def ask(self, chat: int, text: str) -> str:
        """A person asks the bot in the chat of this number; returns the message's id without waiting for anything."""

    @abstractmethod
    def response_ms(self) -> Mapping[str, float]:
        """For each message that was responded to: milliseconds from the first telling to the response.

        The response is the acknowledgement, or the first reply on a platform that has none.
        """

    @abstractmethod
    def answers(self, message_id: str) -> list[str]:
        """The texts of the bot's visible messages that answer this one, as they read now."""

    @abstractmethod
    def updates(self) -> int:
        """How many times the bot has changed what it shows, over all answers."""

    @abstractmethod
    def sends_above_rate(self) -> int:
        """How many calls came sooner than the platform's rates allow."""
