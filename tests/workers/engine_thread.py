"""Engines in a thread of this process, for the pipeline."""

from __future__ import annotations

import threading
from pathlib import Path

from config.sections import EngineSettings
from workers.engine.engine import ChatTurn, Engine, GenerationEvent, GenerationRequest
from workers.engine.engines.echo import EchoEngine
from workers.engine.generation import Generation


class EngineThread:
    """Runs an engine in a thread, as the engine process does, and feeds its events to the generations."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.requests: list[GenerationRequest] = []
        self.cancelled: list[str] = []
        self._generations: dict[str, Generation] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def submit(self, request: GenerationRequest) -> Generation:
        """Give a request to the engine."""
        generation = Generation(request.id, lambda: self._cancel(request.id))
        with self._lock:
            self.requests.append(request)
            self._generations[request.id] = generation
            self.engine.add(request)
        return generation

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _cancel(self, request_id: str) -> None:
        with self._lock:
            self.cancelled.append(request_id)
            self.engine.cancel(request_id)

    def _run(self) -> None:
        while not self._stop.wait(0.001):
            with self._lock:
                for event in self.engine.step():
                    self._generations[event.id].feed(event)


class ScriptedEngine(EchoEngine):
    """An engine that says given words in place of a passage, and can refuse the first prompts as too long."""

    def __init__(self, settings: EngineSettings, said: str, too_long: int = 0, delay_s: float = 0.0) -> None:
        super().__init__(settings, Path(), 4, delay_s=delay_s)
        self._said = said
        self._too_long = too_long
        self._refused: list[GenerationEvent] = []

    def add(self, request: GenerationRequest) -> None:
        """Take the request as one for the given words."""
        if self._too_long:
            self._too_long -= 1
            self._refused.append(GenerationEvent(request.id, finish="too_long", error="too long", prompt_tokens=9))
            return
        super().add(GenerationRequest(request.id, (ChatTurn("user", self._said),), request.max_new_tokens))

    def step(self) -> list[GenerationEvent]:
        """Go on, and tell what was refused."""
        refused, self._refused = self._refused, []
        return refused + super().step()
