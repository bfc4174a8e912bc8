"""A target: one reader of what comes from outside, with good inputs to begin from."""

from __future__ import annotations

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any


class Target(ABC):
    """Gives inputs to a reader. The implementations stand in `tests/fuzz/targets/`."""

    LIMIT_S = 5.0
    """A reader that takes longer for one input hangs."""

    @abstractmethod
    def seeds(self) -> Sequence[bytes]:
        """Good inputs: each is read without an error."""

    @abstractmethod
    def read(self, data: bytes) -> bool:
        """Let the reader have it: True where it took it, False where it refused with its own documented error.

        Anything else that comes out is a fault.
        """

    def close(self) -> None:  # noqa: B027 -- most hold nothing
        """Give back what was opened."""


class ObjectTarget(Target):
    """A target whose reader gets a JSON object, after a library that hands over nothing else."""

    def read(self, data: bytes) -> bool:
        """False where it is no object."""
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):
            return False
        return isinstance(body, dict) and self.take(body)

    @abstractmethod
    def take(self, body: dict[str, Any]) -> bool:
        """As `read`, from the object on."""


class LoopTarget(Target):
    """A target whose reader is a coroutine; it keeps one event loop."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._runner.get_loop()

    def run(self, work: Coroutine[Any, Any, bool]) -> bool:
        """Run it to its end."""
        return self._runner.run(work)

    def close(self) -> None:
        """Close the loop."""
        self._runner.close()


class Reading(contextlib.AbstractContextManager["Reading"]):
    """``with Reading(WireError) as reading: …``: swallows the reader's own errors; `took` says whether none came."""

    def __init__(self, *errors: type[Exception]) -> None:
        self._errors = errors
        self.took = False

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self.took = kind is None
        return kind is not None and issubclass(kind, self._errors)


@contextlib.contextmanager
def opened(target: Target) -> Iterator[Target]:
    """The target, closed at the end."""
    try:
        yield target
    finally:
        target.close()
