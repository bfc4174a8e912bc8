"""A model in a process of its own, as this one must stay free of torch.

The process is spawned when it is first needed and ends with this one. One that died is started anew when it is asked
again.
"""

from __future__ import annotations

import importlib
import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from workers.knowledge.document import KnowledgeError

_LOAD_TIMEOUT_S = 900.0
_ANSWER_TIMEOUT_S = 300.0


class ModelProcess:
    """Asks `serve` of a module of `workers.engine.local`. May be used from many threads; one is answered at a time.

    `name` says in errors what this is, "the embedder BAAI/bge-m3".
    """

    def __init__(self, name: str, module: str, *arguments: object) -> None:
        self._name = name
        self._spec = (module, arguments)
        self._lock = threading.Lock()
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._about: Any = None

    @property
    def about(self) -> Any:
        """What the model says of itself once it is loaded; loads it. Raises KnowledgeError where that fails."""
        with self._mine(_LOAD_TIMEOUT_S):
            self._running()
            return self._about

    @property
    def pid(self) -> int | None:
        """The number of the process; None where none runs."""
        process = self._process
        return process.pid if process is not None else None

    def ask(self, action: str, value: object, timeout_s: float = _ANSWER_TIMEOUT_S) -> Any:
        """The answer. Raises KnowledgeError where the model fails, its process dies, or it takes too long.

        The time counts from when it is this caller's turn, which it waits for as long at most; loading comes on top.
        """
        with self._mine(timeout_s):
            pipe = self._running()
            pipe.send((action, value))
            return self._answer(pipe, timeout_s)

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    @contextmanager
    def _mine(self, timeout_s: float) -> Iterator[None]:
        begun_s = time.monotonic()
        if not self._lock.acquire(timeout=timeout_s):
            waited_s = time.monotonic() - begun_s
            raise KnowledgeError(f"{self._name} had no time for {waited_s:.0f} s")
        try:
            yield
        finally:
            self._lock.release()

    def _running(self) -> Connection:
        if self._process is not None and self._process.is_alive() and self._pipe is not None:
            return self._pipe
        self._end()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(*self._spec, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._about = self._answer(self._pipe, _LOAD_TIMEOUT_S)
        return self._pipe

    def _answer(self, pipe: Connection, timeout_s: float) -> Any:
        try:
            if not pipe.poll(timeout_s):
                self._end()
                raise KnowledgeError(f"{self._name} did not answer for {timeout_s:.0f} s")
            kind, value = pipe.recv()
        except (EOFError, OSError) as error:
            self._end()
            raise KnowledgeError(f"the process of {self._name} died") from error
        if kind == "failed":
            raise KnowledgeError(f"{self._name} failed: {value}")
        return value

    def _end(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._pipe = self._process = None


def _serve(module: str, arguments: tuple[object, ...], pipe: Connection) -> None:
    """The whole life of the process. The module's name is a string, as this file's importers stay free of torch."""
    importlib.import_module(f"workers.engine.local.{module}").serve(*arguments, pipe)
