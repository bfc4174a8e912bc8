"""The engine's supervisor: starts the engine process, hands it prompts, and starts it anew when it dies or hangs.

This is all that a worker sees of the engine. It imports no torch, and neither may its process.
"""

from __future__ import annotations

import atexit
import itertools
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
from workers.engine.child import EngineChild
from workers.engine.engine import EngineError, GenerationEvent, GenerationRequest, ModelError
from workers.engine.engines import FACTORIES
from workers.engine.generation import EngineDiedError, Generation
from workers.engine.guard import refuse_initialised_cuda
from workers.engine.metrics import EngineMetrics
from workers.engine.pipe import Cancel, EngineSpec, LoadFailed, LoadProgress, Ready, Report, Stepped, Stop, Submit

MAX_FAILURES = 5
FAILURES_WINDOW_S = 600.0
MAX_BACKOFF_S = 30.0
STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class EngineUsage:
    """`in_flight` answers grow or wait; `new_tokens` were written since the worker's start."""

    in_flight: int
    new_tokens: int
    gpu_memory_bytes: int


class EngineSupervisor:
    """Keeps one engine process alive and routes prompts to it and text back.

    `slots`: answers that grow at once; further requests wait inside the engine.
    `factory`: "module:name" of another engine than `settings.kind` says, called with (settings, models_folder, slots)
    in the engine process.
    `backoff_s`: pause before the first restart; doubles with each failure of the last ten minutes.
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
        factory: str | None = None,
        backoff_s: float = 0.5,
        on_progress: Callable[[str, float], None] | None = None,
        on_ready: Callable[[Mapping[str, str]], None] | None = None,
        on_down: Callable[[str], None] | None = None,
        on_give_up: Callable[[str], None] | None = None,
    ) -> None:
        self._settings = settings
        self._spec = EngineSpec(factory or FACTORIES.get(settings.kind, settings.kind), settings, models_folder, slots)
        self._backoff_s = backoff_s
        self._on_progress, self._on_ready, self._on_down, self._on_give_up = on_progress, on_ready, on_down, on_give_up
        self._log = structlog.get_logger().bind(engine=settings.kind, model=settings.model)
        self._lock = threading.Lock()
        self._generations: dict[str, Generation] = {}
        self._numbers = itertools.count()
        self._child: EngineChild | None = None
        self._load_reports: deque[LoadProgress | Ready | LoadFailed] = deque()
        self._failed_at_s: deque[float] = deque()
        self._ready = threading.Event()
        self._stopping = threading.Event()
        self._started = threading.Event()
        self._new_tokens = self._gpu_memory_bytes = 0
        self._start_error: EngineError | None = None
        self._wake_reader, self._wake_writer = Pipe(duplex=False)
        self._thread = threading.Thread(target=self._keep_alive, daemon=True, name="engine-supervisor")
        self._metrics = EngineMetrics(registry)
        self._metrics.running.set_function(lambda: self._in_flight(begun=True))
        self._metrics.waiting.set_function(lambda: self._in_flight(begun=False))

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
        return self._ready.is_set()

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until the engine takes requests; True when it does."""
        return self._ready.wait(timeout_s)

    @property
    def pid(self) -> int | None:
        """The engine process's id, while there is one."""
        child = self._child
        return child.pid if child else None

    @property
    def in_flight(self) -> int:
        """Generations that have not ended."""
        with self._lock:
            return len(self._generations)

    @property
    def usage(self) -> EngineUsage:
        """What it does at this moment."""
        return EngineUsage(self.in_flight, self._new_tokens, self._gpu_memory_bytes if self.ready else 0)

    def submit(self, request: GenerationRequest) -> Generation:
        """Hand a request to the engine. Raises EngineDiedError while it is not ready: ask again when it is."""
        number = str(next(self._numbers))
        generation = Generation(request.id, lambda _: self._cancel(number))
        with self._lock:
            child = self._child
            if child is None or not self._ready.is_set():
                raise EngineDiedError("the engine is being started; ask again in a moment")
            self._generations[number] = generation
        # Under a number of ours: an id may come back while the engine still gives up its earlier try.
        child.send(Submit(replace(request, id=number)))
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
            self._fail_all(EngineDiedError("the engine was stopped"))
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
            child = EngineChild(self._spec, self._take_report, lambda line: self._log.info("engine process", said=line))
        except OSError as error:
            return EngineError(f"the engine process could not be started: {error.strerror or error}")
        self._child = child
        try:
            end = self._watch(child)
        finally:
            self._ready.clear()
            child.kill()
            self._child = None
        self._fail_all(EngineDiedError(str(end)))
        return end

    def _watch(self, child: EngineChild) -> EngineError:
        """Return when the process has ended, hangs, failed to load, or is to stop; with the reason."""
        ready_by_s = time.monotonic() + self._settings.start_timeout_s
        doing = "starting"
        while True:
            deadline_s = child.last_report_at_s + self._settings.step_timeout_s if self.ready else ready_by_s
            wait([child.sentinel, self._wake_reader], max(0.0, deadline_s - time.monotonic()))
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
                child.send(Stop())
                child.wait(STOP_TIMEOUT_S)
                return EngineDiedError("the engine was stopped")
            if child.wait(0):
                return self._end_of(child)
            if self.ready and time.monotonic() >= child.last_report_at_s + self._settings.step_timeout_s:
                return EngineDiedError(f"the engine made no step for {self._settings.step_timeout_s:g} s")
            if not self.ready and time.monotonic() >= ready_by_s:
                limit_s = self._settings.start_timeout_s
                return EngineError(f"the engine was not ready within {limit_s:g} s (last heard of it: {doing})")

    def _end_of(self, child: EngineChild) -> EngineError:
        """Why a process ended by itself: what it reported at the last, or else how it ended."""
        child.kill()  # takes in its last reports and words
        failures = [report for report in self._load_reports if isinstance(report, LoadFailed)]
        return _error_of(failures[0]) if failures else EngineDiedError(child.epitaph())

    def _become_ready(self, report: Ready) -> None:
        self._metrics.loads.inc()
        self._metrics.load_seconds.set(report.load_s)
        self._log.info("engine ready", load_s=round(report.load_s, 1), pid=self.pid, **report.about)
        self._ready.set()
        self._started.set()
        self._call(self._on_ready, report.about)

    def _pause_before_restart(self, end: EngineError) -> bool:
        """Count the failure and pause; False where the engine is not to be started again."""
        now_s = time.monotonic()
        self._failed_at_s.append(now_s)
        while self._failed_at_s[0] < now_s - FAILURES_WINDOW_S:
            self._failed_at_s.popleft()
        failures = len(self._failed_at_s)
        if failures >= MAX_FAILURES:
            self._give_up(f"{failures} failures in {FAILURES_WINDOW_S / 60:.0f} minutes, the last: {end}")
            return False
        if isinstance(end, ModelError):
            self._give_up(str(end))
            return False
        pause_s = min(self._backoff_s * 2 ** (failures - 1), MAX_BACKOFF_S)
        self._metrics.restarts.inc()
        self._log.warning("engine starts anew", reason=str(end), failures=failures, pause_s=pause_s)
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
            self._route(report.events)
        else:
            self._load_reports.append(report)
            self._wake()

    def _route(self, events: tuple[GenerationEvent, ...]) -> None:
        with self._lock:
            pairs = [
                (self._generations.pop(event.id, None) if event.finish else self._generations.get(event.id), event)
                for event in events
            ]
        for generation, event in pairs:
            if generation is None:
                continue
            new_tokens = max(0, event.new_tokens - generation.new_tokens)
            self._new_tokens += new_tokens
            self._metrics.new_tokens.inc(new_tokens)
            if event.finish:
                # At the end: before it, the count of a remote answer is an estimate.
                self._metrics.prompt_tokens.inc(event.prompt_tokens or generation.prompt_tokens)
                self._metrics.cost.inc(event.cost)
                self._metrics.generations.labels(event.finish).inc()
            generation.feed(event)

    # --- all threads

    def _cancel(self, number: str) -> None:
        with self._lock:
            child = self._child if number in self._generations else None
        if child is not None:
            child.send(Cancel(number))

    def _in_flight(self, *, begun: bool) -> int:
        with self._lock:
            return sum(bool(generation.prompt_tokens) == begun for generation in self._generations.values())

    def _fail_all(self, error: EngineError) -> None:
        with self._lock:
            generations = list(self._generations.values())
            self._generations.clear()
        for generation in generations:
            self._metrics.generations.labels("died").inc()
            generation.fail(error)

    def _wake(self) -> None:
        self._wake_writer.send_bytes(b"")


def _error_of(report: LoadFailed) -> EngineError:
    return ModelError(report.sentence) if report.model_fault else EngineError(report.sentence)
