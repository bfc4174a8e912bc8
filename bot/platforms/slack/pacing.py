"""Slack's rate limits, kept on our side, so that Slack has no reason to refuse a call.

The numbers are the tiers on each method's page of Slack's documentation; ours stay a tenth below them.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `calls` in any `window_s` seconds; by channel, or over the whole workspace."""

    calls: int
    window_s: float
    by_channel: bool = False


RATES = {
    "assistant.threads.setStatus": Rate(50, 6.0),
    "chat.appendStream": Rate(90, 60.0),
    "chat.postMessage": Rate(4, 5.0, by_channel=True),
    "chat.startStream": Rate(18, 60.0),
    "chat.stopStream": Rate(18, 60.0),
    "chat.update": Rate(45, 60.0),
    "conversations.history": Rate(45, 60.0),
    "conversations.replies": Rate(45, 60.0),
    "reactions.add": Rate(45, 60.0),
    "users.conversations": Rate(18, 60.0),
    "users.info": Rate(90, 60.0),
}
GROWING_SHARE = 0.7
"""What is growing may use this much of a rate; the rest is kept for ends."""
MARGIN = 1.05
"""Calls arrive at Slack closer together than they left."""


class Pacer:
    """Says when a call may be made. `minute_s` is how long a minute of Slack's lasts, in seconds."""

    def __init__(self, minute_s: float = 60.0) -> None:
        self._scale = minute_s / 60.0
        self._calls: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._held_until: dict[tuple[str, str], float] = {}

    def take(self, method: str, channel: str, *, growing: bool = False) -> float:
        """0.0, and the call counts as made; or how long to wait before asking again, in seconds.

        Calls for what is `growing` are spread evenly, so that several answers grow side by side.
        """
        rate = RATES.get(method)
        if rate is None:
            return 0.0
        place = self._place(rate, method, channel)
        now = time.monotonic()
        calls, window_s = self._calls[place], rate.window_s * self._scale * MARGIN
        while calls and calls[0] <= now - window_s:
            calls.popleft()
        wait_s = self._held_until.get(place, 0.0) - now
        limit = rate.calls
        if growing and not rate.by_channel:
            limit = max(1, int(rate.calls * GROWING_SHARE))
            if calls and len(calls) >= limit // 4:
                wait_s = max(wait_s, calls[-1] + window_s / limit - now)
        if len(calls) >= limit:
            wait_s = max(wait_s, calls[-limit] + window_s - now)
        if wait_s > 0:
            return wait_s
        calls.append(now)
        return 0.0

    def hold(self, method: str, channel: str, for_s: float) -> None:
        """Slack said to wait: no such call before that."""
        rate = RATES.get(method)
        if rate is not None:
            self._held_until[self._place(rate, method, channel)] = time.monotonic() + for_s

    @staticmethod
    def _place(rate: Rate, method: str, channel: str) -> tuple[str, str]:
        return method, channel if rate.by_channel else ""
