"""The programs of a chaos run, each a real process, started again when it ends, as supervisord would do it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import psutil

from config.environment import CHECKOUT
from tests.valkey import ValkeyServer

RESTART_AFTER_S = 0.2


class Program:
    """One program that is always running, but for moments: ``kill`` ends it, and a thread starts it again."""

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        log_folder: Path,
        checkout: Path = CHECKOUT,
    ) -> None:
        self.name = name
        self.ends = 0
        self.environment = {**os.environ, **environment}
        self._command = command
        self._checkout = checkout
        self._log: IO[bytes] = (log_folder / f"{name}.log").open("ab")
        self._stopping = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._keep, name=f"keep {name}", daemon=True)
        self._thread.start()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command, env=self.environment, cwd=self._checkout, stdout=self._log, stderr=subprocess.STDOUT
        )

    def _keep(self) -> None:
        while True:
            self._process.wait()
            if self._stopping.is_set():
                return
            self.ends += 1
            time.sleep(RESTART_AFTER_S)
            self._process = self._start()

    @property
    def pid(self) -> int:
        """The process that runs now."""
        return self._process.pid

    def move(self, checkout: Path) -> None:
        """Stop it as supervisord would, and have it started again from another checkout; returns when it has ended."""
        self._checkout = checkout
        before = self._process
        before.send_signal(signal.SIGTERM)
        before.wait()

    def kill(self) -> bool:
        """SIGKILL; False where there is nothing to kill at the moment."""
        if self._process.poll() is not None:
            return False
        self._process.kill()
        return True

    def kill_child(self) -> bool:
        """SIGKILL to the program's child, which of a worker is its engine; False where it has none."""
        try:
            children = psutil.Process(self._process.pid).children()
            engines = [child for child in children if "multiprocessing.spawn" in " ".join(child.cmdline())]
            for child in engines:
                child.kill()
        except psutil.Error:
            return False
        return bool(engines)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL where that does not help."""
        self._stopping.set()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._thread.join(5)
        self._log.close()


class Redis:
    """The Valkey server, killed and started again with its file."""

    def __init__(self) -> None:
        self.server = ValkeyServer()
        self.server.start()

    def kill(self, away_s: float = RESTART_AFTER_S) -> bool:
        """SIGKILL, nothing for a while, and a new start."""
        self.server.kill()
        time.sleep(away_s)
        self.server.start()
        return True


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours."""
    return [sys.executable, "-m", name, *arguments]


Kill = Callable[[], bool]
