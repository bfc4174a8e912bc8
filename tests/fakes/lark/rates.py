"""How often is too often: sliding windows, and a record of every call that went over."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from dataclasses import dataclass

# Two calls sent a second apart may arrive a little closer together, and the platform's own counters are no sharper.
_TOLERANCE = 0.9


@dataclass(frozen=True, slots=True)
class AboveRate:
    """A call that came too soon; `at_s` is monotonic."""

    at_s: float
    rule: str
    key: str
    wait_s: float


class Rates:
    """Counts calls by rule and key over sliding windows of real seconds."""

    def __init__(self) -> None:
        self.above: list[AboveRate] = []
        self._calls: dict[tuple[str, str], deque[float]] = defaultdict(deque)

    def take(self, rule: str, key: str, count_max: int, window_s: float) -> AboveRate | None:
        """Count one call; the answer says how long to wait when it is one more than `count_max` in the window.

        A call that is refused is not counted, as a platform that refuses does not send.
        """
        now_s = time.monotonic()
        calls = self._calls[rule, key]
        while calls and calls[0] <= now_s - window_s * _TOLERANCE:
            calls.popleft()
        if len(calls) < count_max:
            calls.append(now_s)
            return None
        above = AboveRate(now_s, rule, key, calls[0] + window_s - now_s)
        self.above.append(above)
        return above


def whole_seconds(wait_s: float) -> str:
    """A wait as the header ``x-ogw-ratelimit-reset`` tells it."""
    return str(max(1, math.ceil(wait_s)))
