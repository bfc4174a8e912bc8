"""Engines that fail on demand, for the engine process to be tested with; a word in the prompt says how."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from config.sections import EngineSettings
from workers.engine.engine import EngineError, GenerationEvent, GenerationRequest, ModelError
from workers.engine.engines.echo import EchoEngine


def slow_echo(settings: EngineSettings, models_folder: Path, slots: int) -> EchoEngine:
    """Echo at 50 words a second, so that there is time to do something to an answer that grows."""
    return EchoEngine(settings, models_folder, slots, delay_s=0.02)


class FailingEngine(EchoEngine):
    """Echo that dies, hangs or raises when a prompt says so; counts its loads in a file of the models folder."""

    def __init__(self, settings: EngineSettings, models_folder: Path, slots: int) -> None:
        super().__init__(settings, models_folder, slots, delay_s=0.02)
        self._models_folder = models_folder
        self._order = ""

    def load(self, progress: Callable[[str, float], None]) -> None:
        """Note that it was called, and by which process."""
        with (self._models_folder / "loads").open("a") as file:
            file.write(f"{os.getpid()}\n")
        progress("reading", 0.5)
        super().load(progress)

    def add(self, request: GenerationRequest) -> None:
        """Take the order."""
        self._order = request.turns[-1].content
        super().add(request)

    def step(self) -> list[GenerationEvent]:
        """Obey."""
        if self._order.startswith("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._order.startswith("segfault"):
            ctypes.string_at(0)
        if self._order.startswith("hang"):
            time.sleep(3600)
        if self._order.startswith("raise"):
            raise ValueError("a fault in the engine")
        return super().step()


class BrokenEngine(EchoEngine):
    """Echo whose start fails in the way that the file "how" of its models folder says."""

    def __init__(self, settings: EngineSettings, models_folder: Path, slots: int) -> None:
        super().__init__(settings, models_folder, slots)
        self._how = models_folder / "how"

    def load(self, progress: Callable[[str, float], None]) -> None:
        """Fail as told."""
        how = self._how.read_text()
        if how == "model":
            raise ModelError("the model folder lacks config.json")
        if how == "engine":
            raise EngineError("the card is in use")
        if how == "exit":
            print("out of luck", file=sys.stderr, flush=True)
            os._exit(7)
        if how == "raise":
            raise RuntimeError("unexpected")
        if how == "hang":
            progress("reading", 0.25)
            time.sleep(3600)
        super().load(progress)

    def step(self) -> list[GenerationEvent]:
        """Die with the first request."""
        if self.busy:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()
