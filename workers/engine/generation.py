"""A generation: the answer to one prompt as the worker sees it grow."""

from __future__ import annotations

import threading
from collections.abc import Callable

from workers.engine.engine import EngineError, FinishReason, GenerationEvent, GenerationRequest


class GenerationCancelledError(EngineError):
    """The generation was cancelled: the question was stopped, or ran out of time."""


class PromptTooLongError(EngineError):
    """The prompt has more tokens than the engine takes (`Generation.prompt_tokens` says how many)."""


class EngineDiedError(EngineError):
    """The engine process ended with this generation in it; the question has to be asked again."""


class Generation:
    """The growing answer to one prompt. One thread feeds it, another waits on it; both may be slow.

    Text is collected under a lock and no waiter is woken for each token: with 256 answers growing at once,
    a wake-up for each of their tokens would cost the worker more than everything else it does.
    """

    def __init__(self, request_id: str, cancel: Callable[[], None]) -> None:
        self.id = request_id
        self.prompt_tokens = 0
        self.new_tokens = 0
        self._cancel = cancel
        self._pieces: list[str] = []
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._finish: FinishReason | None = None
        self._error: EngineError | None = None

    # --- the side that feeds

    def feed(self, event: GenerationEvent) -> None:
        """Take what the engine made of this request in a step."""
        with self._lock:
            if self._finish is not None:
                return
            if event.text:
                self._pieces.append(event.text)
            self.prompt_tokens = event.prompt_tokens or self.prompt_tokens
            self.new_tokens = event.new_tokens or self.new_tokens
            self._finish = event.finish
            if event.finish == "error":
                self._error = EngineError(event.error)
            elif event.finish == "too_long":
                self._error = PromptTooLongError(event.error)
            elif event.finish == "cancelled":
                self._error = GenerationCancelledError("the answer was stopped")
        if event.finish is not None:
            self._done.set()

    def fail(self, error: EngineError) -> None:
        """End the generation for a reason that lies outside it."""
        with self._lock:
            if self._finish is not None:
                return
            self._finish, self._error = "error", error
        self._done.set()

    # --- the side that waits

    def cancel(self) -> None:
        """Ask the engine to give it up; it ends as cancelled at the next step."""
        self._cancel()

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended; True when it has."""
        return self._done.wait(timeout_s)

    def text(self) -> str:
        """All text so far."""
        with self._lock:
            if len(self._pieces) > 1:
                self._pieces = ["".join(self._pieces)]
            return self._pieces[0] if self._pieces else ""

    def result(self) -> str:
        """The whole text of an ended generation; raises EngineError where it ended in one."""
        with self._lock:
            if self._error is not None:
                raise self._error
        return self.text()


Generate = Callable[[GenerationRequest], Generation]
"""Has the engine answer a prompt."""
Publish = Callable[[str], None]
"""Shows the whole text of a growing answer so far."""
