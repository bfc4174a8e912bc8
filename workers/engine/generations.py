"""The generations that an engine has in hand: numbered, fed with what it makes of them, counted, and failed with it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable

from workers.engine.engine import EngineError, GenerationEvent
from workers.engine.generation import EngineDiedError, Generation
from workers.engine.metrics import EngineMetrics


class Generations:
    """Open while the engine takes requests. May be used from many threads.

    Each generation goes to the engine under a number of ours: a request's id may come back while the engine still gives
    up its earlier try.
    """

    def __init__(self, metrics: EngineMetrics) -> None:
        self._lock = threading.Lock()
        self._is_open = False
        self._numbers = itertools.count()
        self._by_number: dict[str, Generation] = {}
        self._metrics = metrics
        self.new_tokens = 0
        """Tokens that were written in all."""
        metrics.running.set_function(lambda: self._count(begun=True))
        metrics.waiting.set_function(lambda: self._count(begun=False))

    @property
    def is_open(self) -> bool:
        """Whether the engine takes requests now."""
        return self._is_open

    def open(self) -> None:
        """The engine is ready."""
        with self._lock:
            self._is_open = True

    def close(self) -> None:
        """The engine takes nothing more; what it still reports of those in hand is taken in."""
        with self._lock:
            self._is_open = False

    def begin(self, request_id: str, cancel: Callable[[str], None]) -> tuple[str, Generation]:
        """A new generation with its number, which `cancel` is given. Raises EngineDiedError while it is not open."""
        number = str(next(self._numbers))
        generation = Generation(request_id, lambda: cancel(number))
        with self._lock:
            if not self._is_open:
                raise EngineDiedError("the engine is being started; ask again in a moment")
            self._by_number[number] = generation
        return number, generation

    def feed(self, events: Iterable[GenerationEvent]) -> None:
        """Hand each event to its generation. Numbers that are not in hand any more are passed over."""
        with self._lock:
            pairs = [
                (self._by_number.pop(event.id, None) if event.finish else self._by_number.get(event.id), event)
                for event in events
            ]
        for generation, event in pairs:
            if generation is None:
                continue
            new_tokens = max(0, event.new_tokens - generation.new_tokens)
            self.new_tokens += new_tokens
            self._metrics.new_tokens.inc(new_tokens)
            if event.finish:
                # At the end: before it, the count of a remote answer is an estimate.
                self._metrics.prompt_tokens.inc(event.prompt_tokens or generation.prompt_tokens)
                self._metrics.cost.inc(event.cost)
                self._metrics.generations.labels(event.finish).inc()
            generation.feed(event)

    def fail_all(self, error: EngineError) -> None:
        """The engine has ended, and with it all that it had in hand."""
        with self._lock:
            failed = list(self._by_number.values())
            self._by_number.clear()
        for generation in failed:
            self._metrics.generations.labels("died").inc()
            generation.fail(error)

    def __contains__(self, number: str) -> bool:
        with self._lock:
            return number in self._by_number

    def __len__(self) -> int:
        with self._lock:
            return len(self._by_number)

    def _count(self, *, begun: bool) -> int:
        with self._lock:
            return sum(bool(generation.prompt_tokens) == begun for generation in self._by_number.values())
