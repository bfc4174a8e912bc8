"""Serving: a model that answers one question of its parent after another, through a pipe."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from workers.engine.engine import ModelError
from workers.engine.local.quiet import quieten_libraries

Actions = Mapping[str, Callable[[Any], object]]


def serve_actions(load: Callable[[], tuple[object, Actions]], pipe: Connection) -> None:
    """Load a model, tell what `load` says of it, then do what is asked until the pipe ends.

    An error is sent as its sentence.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when this ends
    quieten_libraries()
    try:
        about, actions = load()
    except (OSError, ValueError, RuntimeError, ImportError, ModelError) as error:
        pipe.send(("failed", _sentence(error)))
        return
    pipe.send(("ready", about))
    while True:
        try:
            action, value = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(("done", actions[action](value)))
        except (RuntimeError, ValueError) as error:
            pipe.send(("failed", _sentence(error)))


def _sentence(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
