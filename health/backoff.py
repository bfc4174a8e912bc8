"""How long a program that keeps failing waits before it is tried again."""

from __future__ import annotations

FIRST_S, LAST_S = 5.0, 300.0


def pause_s(failures: int) -> float:
    """The pause after so many failures in a row, from 1 on: twice as long each time, up to five minutes."""
    return min(FIRST_S * 2.0 ** min(failures - 1, 16), LAST_S)
