"""Waiting until something else happens, and a memory that does not grow for ever."""

from __future__ import annotations

import asyncio

import pytest

from bot.remembered import Remembered
from bot.waiting import is_set_within, unless_set


async def test_a_wait_ends_when_the_event_is_set_or_the_time_is_over() -> None:
    """Whoever waits is told whether what they waited for has come."""
    event = asyncio.Event()

    assert not await is_set_within(event, 0.01)

    asyncio.get_running_loop().call_soon(event.set)
    assert await is_set_within(event, 30)


async def test_work_gives_what_it_gave() -> None:
    """Work that is done before any event gives its result; what it raises is raised."""

    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    async def broken() -> str:
        raise RuntimeError("broken")

    assert await unless_set(work(), asyncio.Event()) == "done"
    with pytest.raises(RuntimeError, match="broken"):
        await unless_set(broken(), asyncio.Event())


async def test_work_is_cut_by_whichever_event_comes_first() -> None:
    """Work that an event overtakes is cancelled, and has cleaned up when the wait is over."""
    cut = asyncio.Event()
    first, second = asyncio.Event(), asyncio.Event()

    async def endless() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()
        return "never"

    asyncio.get_running_loop().call_soon(second.set)

    assert await unless_set(endless(), first, second) is None
    assert cut.is_set()


def test_the_oldest_makes_room() -> None:
    """A memory keeps as many as it was told to; what is put in again is the newest."""
    memory: Remembered[str, int] = Remembered(2)
    memory["a"], memory["b"] = 1, 2
    memory["a"] = 3
    memory["c"] = 4

    assert dict(memory) == {"a": 3, "c": 4}
