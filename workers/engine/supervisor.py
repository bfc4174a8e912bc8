"""The engine's supervisor: starts the engine process, hands it prompts, and starts it anew when it dies or hangs.

This is all that a worker sees of the engine. It imports no torch, and neither may its process.
`process.py` is the engine process as it is seen from here, `loop.py` what runs in it, `pipe.py` what the two say to
each other; `generations.py` has the answers in hand, `restarts.py` the rule of starting anew.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from config.sections import EngineSettings
from workers.engine.engine import EngineError, GenerationRequest, ModelError
from workers.engine.generation import EngineDiedError, Generation
from workers.engine.generations import Generations
from workers.engine.guard import refuse_initialised_cuda
from workers.engine.metrics import EngineMetrics
from workers.engine.pipe import (
    Cancel,
    Command,
    EngineSpec,
    LoadFailed,
    LoadProgress,
    Ready,
    Report,
    Stepped,
    Stop,
    Submit,
)
from workers.engine.process import EngineProcess
from workers.engine.restarts import Restarts

STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class EngineUsage:
    """What an engine does: `in_flight` answers grow or wait, `new_tokens` were written since the worker's start."""

    in_flight: int
    new_tokens: int
    gpu_memory_bytes: int


class EngineSupervisor:
    """Keeps one engine process alive and routes prompts to it and text back.

    `slots`: answers that grow at once; further requests wait inside the engine.
    `registry`: where the metrics are registered.

    The callbacks are called in the supervisor's thread, one at a time, and should return soon, because nothing
    watches the engine meanwhile: `on_progress(what, share)` while it loads, `on_ready(about)` each time that it is
    ready, `on_down(reason)` each time that it ended against our will, `on_give_up(reason)` when it will not be
    started again: the worker should then exit non-zero.

    All methods may be called from any thread.
    """

    def __init__(
        self,
        settings: EngineSettings,
        models_folder: Path,
        *,
        slots: int,
        registry: CollectorRegistry | None = None,
        on_progress: Callable[[str, float], None] | None = None,
        on_ready: Callable[[Mapping[str, str]], None] | None = None,
        on_down: Callable[[str], None] | None = None,
        on_give_up: Callable[[str], None] | None = None,
    ) -> None:
        self._settings = settings
        self._spec = EngineSpec(settings, models_folder, slots)
        self._on_progress, self._on_ready, self._on_down, self._on_give_up = on_progress, on_ready, on_down, on_give_up
        self._log = structlog.get_logger().bind(engine=settings.kind, model=settings.model)
        self._metrics = EngineMetrics(registry)
        self._generations = Generations(self._metrics)
        self._restarts = Restarts()
        self._process: EngineProcess | None = None
        self._load_reports: deque[LoadProgress | Ready | LoadFailed] = deque()
        self._stopping = threading.Event()
        self._started = threading.Event()
        self._gpu_memory_bytes = 0
        self._start_error: EngineError | None = None
        self._wake_reader, self._wake_writer = Pipe(duplex=False)
        self._thread = threading.Thread(target=self._keep_alive, daemon=True, name="engine-supervisor")

    # --- for the worker

    def start(self) -> None:
        """Start the engine process and wait until it is ready, or until `stop` is called meanwhile.

        Raises EngineError with one sentence where it does not become ready within `start_timeout_s`, ModelError
        where the model is at fault. A first start that fails is not tried again; call it once.
        """
        refuse_initialised_cuda("the worker")
        # Before multiprocessing's own exit handler, which would wait for the child for ever.
        atexit.register(self.stop)
        self._thread.start()
        self._started.wait()
        if self._start_error is not None and not self._stopping.is_set():
            self.stop()
            raise self._start_error

    @property
    def ready(self) -> bool:
        """Whether the engine takes requests now."""
        return self._generations.is_open

    @property
    def pid(self) -> int | None:
        """The engine process's id, while there is one."""
        process = self._process
        return process.pid if process else None

    @property
    def usage(self) -> EngineUsage:
        """What it does at this moment."""
        generations = self._generations
        return EngineUsage(len(generations), generations.new_tokens, self._gpu_memory_bytes if self.ready else 0)

    def submit(self, request: GenerationRequest) -> Generation:
        """Hand a request to the engine. Raises EngineDiedError while it is not ready: ask again when it is."""
        number, generation = self._generations.begin(request.id, self._cancel)
        self._send(Submit(replace(request, id=number)))
        return generation

    def stop(self) -> None:
        """Stop the engine; generations in flight fail with EngineDiedError. Further calls do nothing.

        May be called from a callback too; then it returns before the engine has stopped.
        """
        self._stopping.set()
        self._wake()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        atexit.unregister(self.stop)

    # --- the thread that keeps the engine alive; it alone starts processes, because they die with it

    def _keep_alive(self) -> None:
        try:
            self._live()
        except Exception as error:
            self._log.exception("engine supervisor failed")
            self._give_up(f"the engine's supervisor failed: {type(error).__name__}: {error}")
        finally:
            self._generations.fail_all(EngineDiedError("the engine was stopped"))
            self._started.set()

    def _live(self) -> None:
        while not self._stopping.is_set():
            end = self._live_once()
            if not self._started.is_set():
                self._start_error = end
                return
            if self._stopping.is_set() or not self._pause_before_restart(end):
                return

    def _live_once(self) -> EngineError:
        """Start a process and watch it to its end; says why it ended."""
        self._load_reports.clear()
        try:
            process = EngineProcess(
                self._spec, self._take_report, lambda line: self._log.info("engine process", said=line)
            )
        except OSError as error:
            return EngineError(f"the engine process could not be started: {error.strerror or error}")
        self._process = process
        try:
            end = self._watch(process)
        finally:
            self._generations.close()
            process.kill()
            self._process = None
        self._generations.fail_all(EngineDiedError(str(end)))
        return end

    def _watch(self, process: EngineProcess) -> EngineError:
        """Return when the process has ended, hangs, failed to load, or is to stop; with the reason."""
        ready_by_s = time.monotonic() + self._settings.start_timeout_s
        doing = "starting"
        while True:
            deadline_s = process.last_report_at_s + self._settings.step_timeout_s if self.ready else ready_by_s
            wait([process.sentinel, self._wake_reader], max(0.0, deadline_s - time.monotonic()))
            while self._wake_reader.poll():
                self._wake_reader.recv_bytes()
            while self._load_reports:
                report = self._load_reports.popleft()
                if isinstance(report, LoadFailed):
                    return _error_of(report)
                if isinstance(report, Ready):
                    self._become_ready(report)
                else:
                    doing = f"{report.what}, {report.share:.0%}"
                    self._call(self._on_progress, report.what, report.share)
            if self._stopping.is_set():
                process.send(Stop())
                process.wait(STOP_TIMEOUT_S)
                return EngineDiedError("the engine was stopped")
            if process.wait(0):
                return self._end_of(process)
            if self.ready and time.monotonic() >= process.last_report_at_s + self._settings.step_timeout_s:
                return EngineDiedError(f"the engine made no step for {self._settings.step_timeout_s:g} s")
            if not self.ready and time.monotonic() >= ready_by_s:
                limit_s = self._settings.start_timeout_s
                return EngineError(f"the engine was not ready within {limit_s:g} s (last heard of it: {doing})")

    def _end_of(self, process: EngineProcess) -> EngineError:
        """Why a process ended by itself: what it reported at the last, or else how it ended."""
        process.kill()  # takes in its last reports and words
        failures = [report for report in self._load_reports if isinstance(report, LoadFailed)]
        return _error_of(failures[0]) if failures else EngineDiedError(process.epitaph())

    def _become_ready(self, report: Ready) -> None:
        self._metrics.loads.inc()
        self._metrics.load_seconds.set(report.load_s)
        self._log.info("engine ready", load_s=round(report.load_s, 1), pid=self.pid, **report.about)
        self._generations.open()
        self._started.set()
        self._call(self._on_ready, report.about)

    def _pause_before_restart(self, end: EngineError) -> bool:
        """Count the failure and pause; False where the engine is not to be started again."""
        self._restarts.note_failure()
        if reason := self._restarts.reason_to_give_up(end):
            self._give_up(reason)
            return False
        pause_s = self._restarts.pause_s
        self._metrics.restarts.inc()
        self._log.warning("engine starts anew", reason=str(end), failures=self._restarts.failures, pause_s=pause_s)
        self._call(self._on_down, str(end))
        return not self._stopping.wait(pause_s)

    def _give_up(self, reason: str) -> None:
        self._log.error("engine given up", reason=reason)
        self._call(self._on_give_up, reason)

    def _call(self, callback: Callable[..., None] | None, *values: object) -> None:
        """Call the worker back; a fault of its own must not end the engine's supervision."""
        if callback is None:
            return
        try:
            callback(*values)
        except Exception:
            self._log.exception("a callback of the engine's supervisor failed")

    # --- the thread that reads the engine's reports

    def _take_report(self, report: Report) -> None:
        if isinstance(report, Stepped):
            if report.gpu_memory_bytes is not None:
                self._gpu_memory_bytes = report.gpu_memory_bytes
                self._metrics.gpu_memory.set(report.gpu_memory_bytes)
            self._generations.feed(report.events)
        else:
            self._load_reports.append(report)
            self._wake()

    # --- all threads

    def _cancel(self, number: str) -> None:
        if number in self._generations:
            self._send(Cancel(number))

    def _send(self, command: Command) -> None:
        process = self._process
        if process is not None:  # else it has just died, and whatever the command was about ends with it
            process.send(command)

    def _wake(self) -> None:
        self._wake_writer.send_bytes(b"")


def _error_of(report: LoadFailed) -> EngineError:
    return ModelError(report.sentence) if report.model_fault else EngineError(report.sentence)
