"""A sandbox: gives up, for the rest of a process's life, what parsing a stranger's file has no need of."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000  # linux/sched.h
_PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h
_KEPT_DESCRIPTORS = 3
_MOST_DESCRIPTORS = 65_536


def lock_down(memory_bytes: int) -> bool:
    """Never again open a file, a socket or a pipe, write to a file, or use this much more memory.

    Everywhere: no descriptor can be made, so nothing that is a file or a connection can be had; those numbered 0 to 2
    stay. On Linux besides, where the kernel lets us: a network namespace with no network in it and a user namespace in
    which we are nobody; returns whether that was so. Modules that are not imported by now cannot be any more.
    """
    os.closerange(_KEPT_DESCRIPTORS, _MOST_DESCRIPTORS)
    isolated = _leave_namespaces()
    in_use_bytes = _address_space_bytes()
    limits = (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_AS, in_use_bytes + memory_bytes),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    )
    for limit, most in limits:
        resource.setrlimit(limit, (most, most))
    return isolated


def allow_cpu(seconds: float) -> None:
    """Let the kernel end this process when it has computed for this much longer, should nobody else end it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime + seconds) + 1, most))


def _leave_namespaces() -> bool:
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # Containers and hardened systems may forbid it; the limits above hold all the same.
    return bool(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0)


def _address_space_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except FileNotFoundError:  # not Linux: what is in use counts as part of the limit
        return 0
