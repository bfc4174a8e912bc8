"""Waiting for what another thread or process brings about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

LOOK_EVERY_S = 0.01

T = TypeVar("T")


def until(look: Callable[[], T], timeout_s: float = 90.0) -> T:
    """What `look()` gives as soon as it is true; raises AssertionError when that takes too long."""
    end_s = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < end_s, f"not within {timeout_s:g} s"
        time.sleep(LOOK_EVERY_S)
    return found
