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
from typing import TypeVar

from bot.platform import SendLaterError

Thing = tuple[str, str]
Key = TypeVar("Key")
KEPT_AT_MOST = 4_096


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` at once, then `per_s` a second."""

    per_s: float
    burst: int


RATES = {"api": Rate(15, 30), "chat": Rate(2.5, 2), "card": Rate(5, 4), "message": Rate(3, 2)}


class Pace:
    """Waits until all that a call counts against has room.

    What is urgent waits its time, ahead of what is not. A wait longer than the patience is not waited but raised, with
    the time at which to come again: by then there may be something newer to say. Whoever is told so gets a turn behind
    those who were told before, or all would come again at once, and most of them for nothing.
    """

    def __init__(
        self, rates: Mapping[str, Rate] | None = None, patience_s: float = 2.0, urgent_patience_s: float = 8.0
    ) -> None:
        self._rates = rates or RATES
        self._patience_s = {False: patience_s, True: urgent_patience_s}
        self._full_until_s: dict[Thing, float] = {}
        self._turns_until_s: dict[tuple[Thing, bool], float] = {}

    async def wait(self, *things: Thing, urgent: bool = False) -> None:
        """Wait for room for one call that counts against these ``(kind, name)``; raises SendLaterError."""
        now_s = time.monotonic()
        wait_s, fullest = max((self._wait_s(thing, now_s), thing) for thing in things)
        if wait_s > self._patience_s[urgent]:
            turn_s = self._turn_s(fullest, urgent, now_s + wait_s)
            raise SendLaterError(f"{fullest[1]} is called as often as Lark allows", turn_s - now_s)
        for thing in things:
            start_s = max(self._full_until_s.pop(thing, 0.0), now_s + wait_s)
            self._full_until_s[thing] = start_s + 1 / self._rates[thing[0]].per_s
        _forget_past(self._full_until_s, now_s)
        if wait_s:
            await asyncio.sleep(wait_s)

    def _wait_s(self, thing: Thing, now_s: float) -> float:
        rate = self._rates[thing[0]]
        return max(0.0, self._full_until_s.get(thing, 0.0) - (rate.burst - 1) / rate.per_s - now_s)

    def _turn_s(self, thing: Thing, urgent: bool, earliest_s: float) -> float:
        turn_s = max(earliest_s, self._turns_until_s.get((thing, urgent), 0.0))
        self._turns_until_s[thing, urgent] = turn_s + 1 / self._rates[thing[0]].per_s
        _forget_past(self._turns_until_s, time.monotonic())
        return turn_s


def _forget_past(times_s: dict[Key, float], now_s: float) -> None:
    if len(times_s) > KEPT_AT_MOST:
        for key in [key for key, until_s in times_s.items() if until_s <= now_s]:
            del times_s[key]
