"""The engine that runs elsewhere: any OpenAI-compatible server, such as vLLM, SGLang or a vendor's.

An event loop in a thread holds the connections and puts what comes into a queue, which a step empties.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import queue
import threading
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from config.sections import EngineSettings
from workers.engine.engine import (
    WARM_UP,
    Engine,
    EngineError,
    GenerationEvent,
    GenerationRequest,
    ModelError,
    Progress,
    fault_of,
)

try:
    from workers.engine.remote.answer import RemoteAnswer, estimated_tokens
    from workers.engine.remote.endpoints import Endpoints
    from workers.engine.remote.fault import RemoteError
except ModuleNotFoundError as error:
    raise ModelError(
        f"engine.kind=openai needs the package {error.name}: pip install -e '.[openai]' in Fennel's environment"
    ) from error

log = logging.getLogger(__name__)

# How long a step waits for something to come: within it a new request or a cancel has to wait.
STEP_WAIT_S = 0.02
CLOSE_TIMEOUT_S = 2.0
A_MILLION = 1e6


class OpenAIEngine(Engine):
    """Has remote servers answer; up to `slots` answers grow at once, as far as the rate limits let them."""

    def __init__(self, settings: EngineSettings, models_folder: Path, slots: int) -> None:
        del models_folder  # the weights are elsewhere
        self._settings = settings
        self._model = settings.remote_model or settings.model
        self._prices = (settings.remote_price / A_MILLION, settings.remote_price_new / A_MILLION)
        self._slots = slots
        self._numbers = itertools.count()
        self._running: dict[str, tuple[int, RemoteAnswer, Future[None]]] = {}
        self._ended: list[GenerationEvent] = []
        self._told: queue.SimpleQueue[tuple[int, GenerationEvent]] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    # --- Engine

    def load(self, progress: Progress) -> None:
        """Have a server answer a warm-up prompt. Raises ModelError where key, model or address are wrong."""
        if self._loop is None:
            self._start()
        progress(f"asking {self._settings.remote_urls[0]}", 0.1)
        asked = self._call(self._warm_up())
        try:
            asked.result()
        except RemoteError as error:
            kind = EngineError if error.fault.scope == "passing" else ModelError
            raise kind(str(error)) from error
        progress("ready", 1.0)

    def add(self, request: GenerationRequest) -> None:
        """Take a request; it is sent at once, or when a place is free."""
        if fault := fault_of(request):
            self._ended.append(GenerationEvent(request.id, finish="error", error=fault))
            return
        tokens, most = estimated_tokens(request.turns), self._settings.max_prompt_tokens
        if tokens > most:
            sentence = f"the prompt has about {tokens} tokens and the engine takes {most}"
            self._ended.append(GenerationEvent(request.id, finish="too_long", error=sentence, prompt_tokens=tokens))
            return
        number = next(self._numbers)
        answer = RemoteAnswer(
            request,
            min(request.max_new_tokens, self._settings.max_new_tokens),
            tokens,
            self._prices,
            lambda event: self._told.put((number, event)),
        )
        self._running[request.id] = number, answer, self._call(self._answer(answer))

    def cancel(self, request_id: str) -> None:
        """Give a request up; its connection is closed."""
        running = self._running.pop(request_id, None)
        if running is not None:
            _, answer, future = running
            future.cancel()
            self._ended.append(
                GenerationEvent(
                    request_id,
                    finish="cancelled",
                    prompt_tokens=answer.prompt_tokens,
                    new_tokens=answer.new_tokens,
                    cost=answer.cost,
                )
            )

    def step(self) -> list[GenerationEvent]:
        """All that has come since the last step; waits for something a moment."""
        events = self.poll()
        if events or not self._running:
            return events
        try:
            told = self._told.get(timeout=STEP_WAIT_S)
        except queue.Empty:
            return []
        self._take(told, events)
        return events + self.poll()

    def poll(self) -> list[GenerationEvent]:
        """All that has come since the last step, without waiting."""
        events, self._ended = self._ended, []
        while not self._told.empty():
            self._take(self._told.get(), events)
        return events

    @property
    def busy(self) -> bool:
        """Whether an answer is on its way."""
        return bool(self._running or self._ended)

    @property
    def in_hand(self) -> int:
        """Answers that have not ended."""
        return len(self._running)

    @property
    def about(self) -> Mapping[str, str]:
        """Where the answers come from."""
        return {"servers": ", ".join(self._settings.remote_urls), "remote_model": self._model}

    def close(self) -> None:
        """Close all connections and end the thread."""
        if self._loop is None or self._thread is None:
            return
        for *_, future in self._running.values():
            future.cancel()
        self._running.clear()
        self._call(self._endpoints.close()).result(CLOSE_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_TIMEOUT_S)
        self._loop.close()
        self._loop = self._thread = None

    # --- the event loop

    def _start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="remote engine", daemon=True)
        self._thread.start()
        self._call(self._prepare()).result()

    def _call(self, coroutine: Coroutine[Any, Any, None]) -> Future[None]:
        assert self._loop is not None, "load() comes first"  # noqa: S101 -- the loop of the process sees to it
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _take(self, told: tuple[int, GenerationEvent], events: list[GenerationEvent]) -> None:
        number, event = told
        running = self._running.get(event.id)
        if running is None or running[0] != number:
            return  # it was cancelled
        if event.finish is not None:
            del self._running[event.id]
        events.append(event)

    async def _prepare(self) -> None:
        self._endpoints = Endpoints(self._settings, self._model)
        self._places = asyncio.Semaphore(self._slots)

    async def _warm_up(self) -> None:
        tokens = estimated_tokens(WARM_UP.turns)
        await self._endpoints.answer(
            RemoteAnswer(WARM_UP, WARM_UP.max_new_tokens, tokens, self._prices, lambda _: None)
        )

    async def _answer(self, answer: RemoteAnswer) -> None:
        try:
            async with self._places:
                answer.end(await self._endpoints.answer(answer))
        except RemoteError as error:
            answer.end("too_long" if error.fault.scope == "too_long" else "error", str(error))
        except Exception as error:  # a fault of ours; this request alone is at fault, and must not wait for ever
            log.exception("a remote answer failed")
            answer.end("error", f"the remote engine failed on this prompt ({type(error).__name__})")
