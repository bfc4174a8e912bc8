"""Leftovers: programs of the stack that go on although their supervisord was killed.

A new supervisord would start second copies beside them: two servers on one append-only file, two bots on one account.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import psutil

from cli.stack import Stack, StackError

REDIS = "redis"


def find_leftovers(stack: Stack) -> list[psutil.Process]:
    """What runs for this home folder without supervisord; to be asked only where there is none."""
    own_pid = psutil.Process().pid
    return [
        process
        for process in psutil.process_iter()
        # supervisord tells each program where it listens, and their children inherit it.
        if process.pid != own_pid and _environment(process).get("SUPERVISOR_SERVER_URL") == stack.server_url
    ]


def stop_leftovers(processes: Sequence[psutil.Process], timeout_s: float) -> None:
    """Stop them, Redis last, because the others finish their work in it; raises StackError after `timeout_s` each."""
    redis = [process for process in processes if _environment(process).get("SUPERVISOR_PROCESS_NAME") == REDIS]
    for group in ([process for process in processes if process not in redis], redis):
        for process in group:
            # A worker ends its engine itself.
            if _parent(process) not in group:
                _terminate(process)
        _, alive = psutil.wait_procs(group, timeout=timeout_s)
        if alive:
            pids = ", ".join(str(process.pid) for process in alive)
            raise StackError(f"programs of an earlier start do not stop: end the processes {pids}, then try again")


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return {}


def _parent(process: psutil.Process) -> psutil.Process | None:
    try:
        return process.parent()
    except psutil.NoSuchProcess:
        return None


def _terminate(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
