"""The tie between a program and the one that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent() -> None:
    """Have the kernel send this process SIGTERM when the process that started it ends, however that ends.

    Without it the programs of a supervisord that was killed would go on beside those that the next one starts. Linux
    only, prctl(2); elsewhere `fennel up` and `fennel down` find what was left behind. It outlasts an exec.
    """
    if sys.platform != "linux":
        return
    parent_pid = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:  # it ended before the call
        os.kill(os.getpid(), signal.SIGTERM)
