"""The tie between a program and the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent(number: int = signal.SIGTERM, parent_pid: int | None = None) -> None:
    """Have the kernel send this process a signal when the process that started it ends, however that ends.

    `parent_pid`: that process, for who was told; one that has ended already is then known too.
    Without it the programs of a supervisord that was killed would go on beside those that the next one starts. Linux
    only, prctl(2); elsewhere `fennel up` and `fennel down` find what was left behind. It outlasts an exec.
    """
    if sys.platform != "linux":
        return
    parent_pid = parent_pid or os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:  # it ended before the call
        os.kill(os.getpid(), number)
