"""How fast we may call: a token bucket for each thing that Lark counts, so that we are never told to slow down.

The vendor allows 50 calls a second and 1000 a minute for each API, 5 messages a second to one chat (shared by all bots
in it), 10 operations a second on one card, 5 edits a second of one message. In a window of W seconds a bucket lets
through ``burst + per_s * W`` at most, so that each pair below stays under those numbers for every window.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from bot.platform import SendLaterError

KEPT_AT_MOST = 4_096


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` at once, then `per_s` a second."""

    per_s: float
    burst: int


RATES = {"api": Rate(15, 30), "chat": Rate(3, 2), "card": Rate(5, 4), "message": Rate(3, 2)}


class Pace:
    """Waits until all that a call counts against has room.

    A wait longer than `patience_s` is not waited but raised: by then there may be something newer to say.
    """

    def __init__(self, rates: Mapping[str, Rate] | None = None, patience_s: float = 2.0) -> None:
        self._rates = rates or RATES
        self._patience_s = patience_s
        self._full_until_s: dict[tuple[str, str], float] = {}

    async def wait(self, *things: tuple[str, str]) -> None:
        """Wait for room for one call that counts against these ``(kind, name)``; raises SendLaterError."""
        now_s = time.monotonic()
        wait_s = max(self._wait_s(thing, now_s) for thing in things)
        if wait_s > self._patience_s:
            raise SendLaterError(f"{things[0][1]} is called as often as Lark allows", wait_s)
        for thing in things:
            start_s = max(self._full_until_s.pop(thing, 0.0), now_s + wait_s)
            self._full_until_s[thing] = start_s + 1 / self._rates[thing[0]].per_s
        if len(self._full_until_s) > KEPT_AT_MOST:
            self._full_until_s = {thing: end_s for thing, end_s in self._full_until_s.items() if end_s > now_s}
        if wait_s:
            await asyncio.sleep(wait_s)

    def _wait_s(self, thing: tuple[str, str], now_s: float) -> float:
        rate = self._rates[thing[0]]
        return max(0.0, self._full_until_s.get(thing, 0.0) - (rate.burst - 1) / rate.per_s - now_s)
