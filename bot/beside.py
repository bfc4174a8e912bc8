"""What a platform says beside its answers, such as a welcome: nothing waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from bot.platform import PlatformError

log = structlog.get_logger(__name__)


class Beside:
    """Says fixed sentences beside everything else; when one fails, that is all there is to it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, saying: Coroutine[Any, Any, object]) -> None:
        """Begin to say it."""
        task = asyncio.create_task(self._attempt(saying))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Say nothing more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _attempt(self, saying: Coroutine[Any, Any, object]) -> None:
        try:
            await saying
        except PlatformError as error:
            log.warning("a fixed sentence could not be said", error=str(error))
