"""Leftovers: programs of the stack that go on although their supervisord was killed.

A new supervisord would start second copies beside them: two servers on one append-only file, two bots on one account.
"""

from __future__ import annotations

from collections.abc import Sequence

import psutil

from cli.stack import Stack, StackError

REDIS = "redis"


def find_leftovers(stack: Stack) -> list[psutil.Process]:
    """What runs for this home folder without supervisord; to be asked only where there is none."""
    found = []
    for process in psutil.process_iter():
        try:
            # supervisord tells each program where it listens.
            if process.environ().get("SUPERVISOR_SERVER_URL") == stack.server_url and process.pid != _own_pid():
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def stop_leftovers(processes: Sequence[psutil.Process], timeout_s: float) -> None:
    """Stop them, Redis last, because the others finish their work in it; raises StackError after `timeout_s` each."""
    for group in (
        [process for process in processes if _program(process) != REDIS],
        [process for process in processes if _program(process) == REDIS],
    ):
        for process in group:
            try:
                process.terminate()
            except psutil.NoSuchProcess:
                continue
        _, alive = psutil.wait_procs(group, timeout=timeout_s)
        if alive:
            pids = ", ".join(str(process.pid) for process in alive)
            raise StackError(f"programs of an earlier start do not stop: end the processes {pids}, then try again")


def _program(process: psutil.Process) -> str:
    try:
        return str(process.environ().get("SUPERVISOR_PROCESS_NAME", ""))
    except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def _own_pid() -> int:
    return psutil.Process().pid
