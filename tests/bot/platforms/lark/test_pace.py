"""How fast we call."""

from __future__ import annotations

import asyncio
import time

import pytest

from bot.platform import SendLaterError
from bot.platforms.lark.pace import RATES, Pace, Rate


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        ("api", {1.0: 50, 60.0: 1000}),
        ("chat", {1.0: 5}),
        ("card", {1.0: 9}),
        ("message", {1.0: 5}),
    ],
)
def test_no_window_holds_more_than_lark_allows(kind: str, allowed: dict[float, int]) -> None:
    """What a bucket lets through in any window is its burst and what flows in: within the vendor's numbers."""
    rate = RATES[kind]
    for window_s, calls in allowed.items():
        assert rate.burst + rate.per_s * window_s <= calls


async def test_a_burst_goes_at_once_and_the_rest_in_step() -> None:
    """Two at once, then one every tenth of a second."""
    pace = Pace({"chat": Rate(10, 2)}, patience_s=5)
    began_s = time.monotonic()
    at_s = []
    for _ in range(5):
        await pace.wait(("chat", "a"))
        at_s.append(time.monotonic() - began_s)
    assert at_s[1] < 0.09
    assert all(at >= wanted - 0.005 for at, wanted in zip(at_s[2:], (0.1, 0.2, 0.3), strict=True))


async def test_chats_do_not_wait_for_each_other() -> None:
    """Each chat has its own room."""
    pace = Pace({"chat": Rate(1, 1)}, patience_s=0)
    await asyncio.gather(*(pace.wait(("chat", str(number))) for number in range(50)))


async def test_a_long_wait_is_told_and_takes_no_room() -> None:
    """Whoever would wait too long is told when to come again, each at another time, and takes nobody's room."""
    pace = Pace({"api": Rate(1, 1), "card": Rate(1, 1)}, patience_s=0.5)
    await pace.wait(("api", "x"))
    told_s = []
    for _ in range(3):
        with pytest.raises(SendLaterError) as caught:
            await pace.wait(("card", "c"), ("api", "x"))
        told_s.append(caught.value.after_s)
    assert told_s == pytest.approx([1.0, 2.0, 3.0], abs=0.2)
    await pace.wait(("card", "c"))


async def test_what_is_urgent_goes_first() -> None:
    """The end of an answer waits its time where a growing one is told to come again, and makes it wait longer."""
    pace = Pace({"api": Rate(10, 1)}, patience_s=0.05)
    await pace.wait(("api", "x"))
    ends = [asyncio.ensure_future(pace.wait(("api", "x"), urgent=True)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(SendLaterError) as caught:
        await pace.wait(("api", "x"))
    assert caught.value.after_s > 0.3
    await asyncio.gather(*ends)


async def test_even_what_is_urgent_does_not_wait_for_ever() -> None:
    """A bot that is stopped has to come to a safe point: a long wait is told to the urgent, too."""
    pace = Pace({"api": Rate(1, 1)}, urgent_patience_s=0.5)
    await pace.wait(("api", "x"))
    with pytest.raises(SendLaterError):
        await pace.wait(("api", "x"), urgent=True)
