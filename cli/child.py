"""One program as a child of this process: started fresh, logged, started again when it should be, stopped."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path

from cli.program_spec import ProgramSpec
from cli.stack import Program

LOG_BYTES, LOG_FILES = 10_000_000, 3
PAUSE_FIRST_S, PAUSE_LAST_S = 1.0, 30.0
WELL_AFTER_S = 60.0
"""One that lived for as long is started again at once, and not after the long pauses of before."""


class Child:
    """`show` is given each line that it prints; all lines go to `log_file` too."""

    def __init__(
        self,
        spec: ProgramSpec,
        folder: Path,
        environment: Mapping[str, str],
        log_file: Path,
        show: Callable[[str, str], None],
    ) -> None:
        self.spec = spec
        self._folder = folder
        self._environment = {**environment, **spec.environment}
        self._log_file = log_file
        self._show = show
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at_s = 0.0
        self._pause_s = PAUSE_FIRST_S
        self._again_at_s: float | None = None
        self._exit_code = 0

    def start(self) -> None:
        """Start it: a new program in a session of its own, so that Ctrl-C reaches us alone."""
        self._again_at_s, self._started_at_s = None, time.time()
        self._process = subprocess.Popen(
            self.spec.command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        threading.Thread(target=self._keep_log, args=(self._process,), name=self.spec.name, daemon=True).start()

    def look(self) -> None:
        """See whether it has ended, and start it again where its time has come."""
        if self._process is not None and self._process.poll() is not None:
            self._exit_code = self._process.returncode
            self._process = None
            if self.spec.restarts_always or self._exit_code not in self.spec.good_codes:
                if time.time() - self._started_at_s > WELL_AFTER_S:
                    self._pause_s = PAUSE_FIRST_S
                self._show(self.spec.name, f"ended with exit code {self._exit_code}; again in {self._pause_s:.0f} s")
                self._again_at_s = time.monotonic() + self._pause_s
                self._pause_s = min(2 * self._pause_s, PAUSE_LAST_S)
        if self._again_at_s is not None and time.monotonic() >= self._again_at_s:
            self.start()

    @property
    def program(self) -> Program:
        """How it stands, in supervisord's words."""
        state = "RUNNING" if self._process else "BACKOFF" if self._again_at_s else "EXITED"
        pid = self._process.pid if self._process else 0
        return Program(self.spec.name, self.spec.group, state, pid, self._started_at_s, self._exit_code)

    def ask_to_stop(self) -> None:
        """Tell it to finish what it has in hand."""
        self._again_at_s = None
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; False where it takes longer."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        self._process = None
        return True

    def kill(self) -> None:
        """End it and whatever it started, now."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _keep_log(self, process: subprocess.Popen[bytes]) -> None:
        handler = RotatingFileHandler(
            self._log_file, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", errors="replace"
        )
        assert process.stdout is not None  # noqa: S101 -- it was asked for
        with contextlib.closing(handler), process.stdout:
            for line in process.stdout:
                text = line.decode(errors="replace").rstrip("\n")
                handler.emit(logging.LogRecord("child", logging.INFO, "", 0, "%s", (text,), None))
                self._show(self.spec.name, text)
