"""What runs in a model's process. It names the module that imports torch by a string: its parent must not import it."""

from __future__ import annotations

import importlib
from multiprocessing.connection import Connection


def run(module: str, arguments: tuple[object, ...], pipe: Connection) -> None:
    """The whole life of the process: `serve` of a module of `workers.engine.local`, with these arguments."""
    importlib.import_module(f"workers.engine.local.{module}").serve(*arguments, pipe)
