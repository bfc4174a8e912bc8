"""What runs in an embedder's process. It names the module that imports torch by a string: its parent must not."""

from __future__ import annotations

import importlib
from multiprocessing.connection import Connection


def run(model: str, threads: int, pipe: Connection) -> None:
    """The whole life of the process."""
    importlib.import_module("workers.engine.local.sentence_embedder").serve(model, threads, pipe)
