"""Any sentence-embedding model of transformers, in a process of its own, as this one must stay free of torch.

The process is spawned when it is first needed and ends with this one. One that died is started anew at the next text.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from workers.engine import embedder_process
from workers.knowledge.document import KnowledgeError
from workers.knowledge.embedder import Embedder, Vectors

_LOAD_TIMEOUT_S = 900.0
_ANSWER_TIMEOUT_S = 300.0


class TransformersEmbedder(Embedder):
    """A model by its folder or its id of a hub. `threads` 0 leaves one core free."""

    def __init__(self, model: str, threads: int = 0) -> None:
        self._model = model
        self._threads = threads
        self._lock = threading.Lock()
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._dimensions = 0

    @property
    def id(self) -> str:
        """The model's name."""
        return f"transformers:{self._model}"

    @property
    def dimensions(self) -> int:
        """The size of the model's last layer; loads it. Raises KnowledgeError where that fails."""
        with self._lock:
            self._running()
            return self._dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text. Raises KnowledgeError where the process fails."""
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        vectors: Vectors = self._ask("embed", list(texts))
        return vectors

    def count_tokens(self, text: str) -> int:
        """By the model's tokenizer."""
        return int(self._ask("count_tokens", text))

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _ask(self, action: str, value: object) -> Any:
        with self._lock:
            pipe = self._running()
            pipe.send((action, value))
            return self._answer(pipe, _ANSWER_TIMEOUT_S)

    def _running(self) -> Connection:
        if self._process is not None and self._process.is_alive() and self._pipe is not None:
            return self._pipe
        self._end()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (self._model, self._threads, theirs)
        self._process = context.Process(target=embedder_process.run, args=arguments, name="embedder", daemon=True)
        self._process.start()
        theirs.close()
        self._dimensions = int(self._answer(self._pipe, _LOAD_TIMEOUT_S))
        return self._pipe

    def _answer(self, pipe: Connection, timeout_s: float) -> Any:
        try:
            if not pipe.poll(timeout_s):
                self._end()
                raise KnowledgeError(f"the embedder {self._model} did not answer for {timeout_s:.0f} s")
            kind, value = pipe.recv()
        except (EOFError, OSError) as error:
            self._end()
            raise KnowledgeError(f"the process of the embedder {self._model} died") from error
        if kind == "failed":
            raise KnowledgeError(f"the embedder {self._model} failed: {value}")
        return value

    def _end(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._pipe = self._process = None
