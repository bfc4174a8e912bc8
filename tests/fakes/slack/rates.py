"""Slack's rate limits, per method and workspace, and per channel for posts."""

from __future__ import annotations

import math
import time
from collections import defaultdict, deque
from typing import Any

from tests.fakes.slack.rules import CALLS_PER_MINUTE, Rules


class Rates:
    """Counts calls in sliding windows; only admitted calls count, as a refused one did nothing."""

    def __init__(self, rules: Rules, time_scale: float) -> None:
        self.rules = rules
        self.time_scale = time_scale
        self.above: list[dict[str, Any]] = []
        self._calls: dict[tuple[str, str], deque[float]] = defaultdict(deque)

    def excess(self, method: str, channel: str) -> int | None:
        """None when the call is within its rate; else the whole seconds after which to try again."""
        per_channel = method == "chat.postMessage"
        if not per_channel and method not in CALLS_PER_MINUTE:
            return None
        limit, window_s = self.rules.post_burst if per_channel else (CALLS_PER_MINUTE[method], 60.0)
        window_s *= self.time_scale
        now = time.monotonic()
        calls = self._calls[method, channel if per_channel else ""]
        while calls and calls[0] <= now - window_s:
            calls.popleft()
        if len(calls) < limit:
            calls.append(now)
            return None
        self.above.append({"at_s": now, "method": method, "channel": channel})
        return max(1, math.ceil(calls[0] + window_s - now))
