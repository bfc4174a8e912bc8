"""A worker's name in Redis: one process has it, and what a dead one left under it is taken over."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

import psutil
import redis
from rq.utils import utcparse

from contract.errors import FennelError


class WorkerRunningError(FennelError):
    """A worker of this name is running already."""


def free_name(connection: redis.Redis, key: str, name: str, lease_s: float, wait: Callable[[float], object]) -> None:
    """Take the name's record at `key` from a process that died with it.

    Raises WorkerRunningError from one that lives: of one on another machine it takes a lease to know, for which `wait`
    is called.
    """
    record: Any = connection.hgetall(key)
    held = {field.decode(): value.decode() for field, value in record.items()}
    if held and "death" not in held and _is_alive(connection, key, held, lease_s, wait):
        raise WorkerRunningError(
            f"the worker {name} is running already as process {held.get('pid')} on {held.get('hostname')}: "
            f"stop it first, or set FENNEL_WORKER__HOST on each host, which becomes a part of the name"
        )
    connection.delete(key)


def _is_alive(
    connection: redis.Redis, key: str, held: dict[str, str], lease_s: float, wait: Callable[[float], object]
) -> bool:
    if held.get("hostname") == socket.gethostname():
        return _is_process(int(held.get("pid") or 0), born=held.get("birth", ""))
    # A process elsewhere cannot be looked at, but one that lives renews its heartbeat within the lease.
    wait(lease_s)
    return bool(connection.hget(key, "last_heartbeat") != held.get("last_heartbeat", "").encode())


def _is_process(pid: int, born: str) -> bool:
    """Whether the process that registered at `born` (as RQ writes times) is still there, not another of its pid."""
    try:
        return pid != os.getpid() and psutil.Process(pid).create_time() <= utcparse(born).timestamp() + 1
    except (psutil.Error, ValueError):
        return False
