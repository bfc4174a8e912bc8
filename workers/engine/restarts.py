"""When a failed engine is started again: after a pause that grows, and after so many failures not at all."""

from __future__ import annotations

import time
from collections import deque

from workers.engine.engine import EngineError, ModelError

MAX_FAILURES = 5
WINDOW_S = 600.0
FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0


class Restarts:
    """Counts an engine's failures of the last `WINDOW_S`."""

    def __init__(self) -> None:
        self._failed_at_s: deque[float] = deque()

    def note_failure(self) -> None:
        """It has failed now."""
        now_s = time.monotonic()
        self._failed_at_s.append(now_s)
        while self._failed_at_s[0] < now_s - WINDOW_S:
            self._failed_at_s.popleft()

    @property
    def failures(self) -> int:
        """How often it failed until the last failure, which counts."""
        return len(self._failed_at_s)

    @property
    def pause_s(self) -> float:
        """How long to wait before the next start: twice as long after each failure."""
        return min(FIRST_PAUSE_S * 2.0 ** (self.failures - 1), MAX_PAUSE_S)

    def reason_to_give_up(self, end: EngineError) -> str:
        """Why there is no next start after this end, as a sentence; empty where there is one."""
        if self.failures >= MAX_FAILURES:
            return f"{self.failures} failures in {WINDOW_S / 60:.0f} minutes, the last: {end}"
        return str(end) if isinstance(end, ModelError) else ""
