"""What runs in the engine process: it loads the model, then steps the engine and sends one report a step.

Started by `multiprocessing.get_context("spawn")` and by nothing else; torch is imported here for the first time.
It lives no longer than its worker: the kernel kills it when the thread that started it ends, and it ends by itself
when the pipe of commands does. It ignores SIGINT and SIGTERM, which a terminal or supervisord sends to the whole
group, because the worker decides when its engine stops.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from typing import NoReturn

from health.parent import end_with_parent
from workers.engine.engine import Engine, EngineError, ModelError
from workers.engine.engines import ENGINES
from workers.engine.guard import refuse_initialised_cuda
from workers.engine.pipe import (
    HEARTBEAT_S,
    Cancel,
    Command,
    EngineSpec,
    LoadFailed,
    LoadProgress,
    Ready,
    Report,
    Stepped,
    Submit,
)

EXIT_LOAD_FAILED = 3
EXIT_PARENT_GONE = 4
EXIT_ENGINE_FAILED = 5


def run(spec: EngineSpec, commands: Connection, reports: Connection, stderr: Connection, parent_pid: int) -> None:
    """The whole life of the engine process; never returns normally, but exits with one of the codes above or 0."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.dup2(stderr.fileno(), 2)
    faulthandler.enable()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    end_with_parent(signal.SIGKILL, parent_pid)
    inbox: queue.SimpleQueue[Command] = queue.SimpleQueue()
    threading.Thread(target=_read_commands, args=(commands, inbox), daemon=True, name="commands").start()
    engine = _load(spec, reports)
    if engine is None:
        _leave(EXIT_LOAD_FAILED)
    try:
        _serve(engine, inbox, reports)
    except (BrokenPipeError, ConnectionResetError):
        _leave(EXIT_PARENT_GONE)
    except BaseException:  # whatever it was, the worker is to see it as the last words of this process
        traceback.print_exc()
        _leave(EXIT_ENGINE_FAILED)
    engine.close()
    _leave(0)


def _leave(code: int) -> NoReturn:
    """End now, without waiting for threads of libraries or for their exit handlers, which may hang."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _read_commands(commands: Connection, inbox: queue.SimpleQueue[Command]) -> None:
    """Take commands off the pipe even during a long step, so that the worker never waits to write one."""
    while True:
        try:
            command = commands.recv()
        except (EOFError, OSError):
            _leave(EXIT_PARENT_GONE)
        inbox.put(command)


def _load(spec: EngineSpec, reports: Connection) -> Engine | None:
    """Build and load the engine, reporting on it; None where that failed, which has been reported too."""

    def send(report: Report) -> None:
        with contextlib.suppress(BrokenPipeError):  # the thread that reads commands ends the process
            reports.send(report)

    started_at_s = time.monotonic()
    try:
        refuse_initialised_cuda("the engine process")
        module, _, name = ENGINES.get(spec.settings.kind, spec.settings.kind).partition(":")
        engine: Engine = getattr(importlib.import_module(module), name)(spec.settings, spec.models_folder, spec.slots)
        engine.load(lambda what, share: send(LoadProgress(what, share)))
    except (ModelError, EngineError) as error:
        send(LoadFailed(str(error), model_fault=isinstance(error, ModelError)))
        return None
    except Exception as error:
        traceback.print_exc()
        send(LoadFailed(f"the engine could not start: {type(error).__name__}: {error}", model_fault=False))
        return None
    send(Ready(time.monotonic() - started_at_s, engine.about))
    return engine


def _serve(engine: Engine, inbox: queue.SimpleQueue[Command], reports: Connection) -> None:
    """Step the engine until told to stop; blocks while there is nothing to do."""
    measured_at_s = float("-inf")
    while True:
        wait_s = 0.0 if engine.busy else HEARTBEAT_S
        for command in _drain(inbox, wait_s):
            if isinstance(command, Submit):
                engine.add(command.request)
            elif isinstance(command, Cancel):
                engine.cancel(command.request_id)
            else:
                return
        events, memory_bytes = tuple(engine.step()), None
        if time.monotonic() - measured_at_s >= HEARTBEAT_S:
            measured_at_s, memory_bytes = time.monotonic(), _gpu_memory_bytes()
        reports.send(Stepped(events, memory_bytes))


def _gpu_memory_bytes() -> int:
    """What torch holds on the GPU for us; 0 without one."""
    torch = sys.modules.get("torch")
    return int(torch.cuda.memory_reserved()) if torch is not None and torch.cuda.is_initialized() else 0


def _drain(inbox: queue.SimpleQueue[Command], wait_s: float) -> list[Command]:
    """All commands that are there, waiting up to `wait_s` for the first."""
    taken: list[Command] = []
    try:
        taken.append(inbox.get(timeout=wait_s) if wait_s else inbox.get_nowait())
        while True:
            taken.append(inbox.get_nowait())
    except queue.Empty:
        return taken
