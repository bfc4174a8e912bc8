"""One engine process as its worker sees it: started by spawn, spoken to through pipes, ended by SIGKILL."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

from workers.engine import loop
from workers.engine.pipe import Command, EngineSpec, Report

LAST_WORDS_LINES = 50
CLOSE_TIMEOUT_S = 2.0


class EngineProcess:
    """A started engine process. Build it in a thread that outlives it: the kernel kills it with that thread.

    `on_report` is called in the thread that reads the pipe, with each report in order; `on_stderr` in another one,
    with each line that the process writes to its stderr.
    """

    def __init__(self, spec: EngineSpec, on_report: Callable[[Report], None], on_stderr: Callable[[str], None]) -> None:
        # A context of our own: the global start method belongs to the program, and is never set.
        context = multiprocessing.get_context("spawn")
        self._on_report = on_report
        self._on_stderr = on_stderr
        self._stderr_lines: deque[str] = deque(maxlen=LAST_WORDS_LINES)
        self._send_lock = threading.Lock()
        self.last_report_at_s = time.monotonic()
        command_reader, self._commands = context.Pipe(duplex=False)
        self._reports, report_writer = context.Pipe(duplex=False)
        self._stderr, stderr_writer = context.Pipe(duplex=False)
        theirs = (command_reader, report_writer, stderr_writer)
        self._process = context.Process(
            target=loop.run, args=(spec, *theirs, os.getpid()), name="fennel-engine", daemon=False
        )
        try:
            self._start_unsignalled()
        finally:
            for end in theirs:  # kept open here, they would never come to an end
                end.close()
        self._threads = [
            threading.Thread(target=self._read_reports, daemon=True, name="engine-reports"),
            threading.Thread(target=self._read_stderr, daemon=True, name="engine-stderr"),
        ]
        for thread in self._threads:
            thread.start()

    def _start_unsignalled(self) -> None:
        """Start it with SIGINT and SIGTERM blocked, so that Ctrl-C cannot kill it before it ignores them."""
        resource_tracker.ensure_running()  # it unblocks both when it is started, which start() would do
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process.pid is not None  # noqa: S101 -- it has been started
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """Readable once it has ended; for `multiprocessing.connection.wait`."""
        return self._process.sentinel

    def send(self, command: Command) -> None:
        """Send a command. One that comes too late for a process that has just ended goes nowhere, silently."""
        try:
            with self._send_lock:
                self._commands.send(command)
        except OSError:  # broken or closed: whoever watches the process sees its end and acts on it
            return

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended; True when it has."""
        self._process.join(timeout_s)
        return self._process.exitcode is not None

    def kill(self) -> None:
        """End it, in whatever state it is, and take in all that it had still reported."""
        self._process.kill()
        self._process.join()
        for thread in self._threads:
            thread.join(CLOSE_TIMEOUT_S)
        with self._send_lock:
            self._commands.close()

    def epitaph(self) -> str:
        """How an ended process ended, with its last words: one sentence without a full stop."""
        code = self._process.exitcode
        if code is None:
            return "the engine process is running"
        if code < 0:
            hint = ", perhaps because the machine ran out of memory" if code == -signal.SIGKILL else ""
            how = f"the engine process was killed by {_signal_name(-code)}{hint}"
        else:
            how = f"the engine process ended with exit code {code}"
        words = self._last_words()
        return f"{how}; its last words: {words}" if words else how

    def _last_words(self) -> str:
        lines = [line.strip() for line in self._stderr_lines if line.strip()]
        fatal = [line for line in lines if line.startswith("Fatal Python error")]
        return (fatal or lines or [""])[-1]

    def _read_reports(self) -> None:
        with self._reports:
            while (report := _receive(self._reports)) is not None:
                self.last_report_at_s = time.monotonic()
                self._on_report(report)

    def _read_stderr(self) -> None:
        """Pass on what the process writes to its stderr, and keep its last lines."""
        rest = b""
        with self._stderr:
            while chunk := os.read(self._stderr.fileno(), 65_536):
                *lines, rest = (rest + chunk).split(b"\n")
                self._take_lines(lines)
        self._take_lines([rest] if rest else [])

    def _take_lines(self, lines: list[bytes]) -> None:
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip("\r")
            self._stderr_lines.append(text)
            self._on_stderr(text)


def _receive(reports: Connection) -> Report | None:
    """The next report; None when no more can come."""
    try:
        report: Report = reports.recv()
    except (EOFError, OSError):
        return None
    return report


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
