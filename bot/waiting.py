"""Waiting, but for no longer than until something else happens: a stop, a close, the end of a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


async def is_set_within(event: asyncio.Event, for_s: float) -> bool:
    """Wait for the event, `for_s` seconds at most; whether it is set then."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(for_s):
            await event.wait()
    return event.is_set()


async def unless_set(work: Coroutine[Any, Any, Result], *events: asyncio.Event) -> Result | None:
    """Do the work, or as much of it as comes before one of the events, and give what it gave; None where it was cut.

    Raises what the work raises.
    """
    task = asyncio.ensure_future(work)
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait([task, *waiting], return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for one in (task, *waiting):
            one.cancel()
        await asyncio.gather(task, *waiting, return_exceptions=True)
