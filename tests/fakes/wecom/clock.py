"""The platform's own clock: it runs faster than ours by the time scale, and it can be moved forward."""

import time


class Clock:
    """Platform seconds since the start. Limits are compared on it, so a test may skip six minutes at once."""

    def __init__(self, time_scale: float) -> None:
        if time_scale <= 0:
            raise ValueError(f"time_scale must be above 0, not {time_scale}")
        self._time_scale = time_scale
        self._start_s = time.monotonic()
        self._skipped_s = 0.0

    def now_s(self) -> float:
        """Platform seconds since the start."""
        return (time.monotonic() - self._start_s) / self._time_scale + self._skipped_s

    def skip(self, platform_s: float) -> None:
        """Move the clock forward by `platform_s` seconds; never back."""
        if platform_s < 0:
            raise ValueError(f"a clock runs forward only, not {platform_s} s")
        self._skipped_s += platform_s
