"""Freed memory goes back to the system where the C library would keep it."""

import ctypes
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from workers.engine.local.heap import trim_heap

# Blocks that glibc takes from its heap, freed below one that stays.
PROGRAM = """
import psutil
from workers.engine.local.heap import trim_heap
blocks = [bytearray(100_000) for _ in range(1_000)]
last = bytearray(100_000)
del blocks
before = psutil.Process().memory_info().rss
trim_heap()
print(before - psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep nothing")
def test_freed_memory_goes_back() -> None:
    """A hundred megabytes that lie below something in use are the system's again."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 90_000_000


def test_a_c_library_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the C library has no such function, nothing is done."""
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    trim_heap()
