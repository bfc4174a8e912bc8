"""The C library's heap: what a process has freed may still count as its memory."""

from __future__ import annotations

import ctypes


def trim_heap() -> None:
    """Give freed memory back to the system.

    glibc keeps it for later, between what is still in use. Other C libraries have no such function, nor the need.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
