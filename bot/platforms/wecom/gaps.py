"""How long a bot had no link, measured over restarts: what is written meanwhile is lost by WeCom, and nobody tells.

When the link was last alive stands in Redis, so that a new process sees when the old one's ended. A process that was
killed wrote it with its last heartbeat: the gap is then told too long by up to one heartbeat, never too short.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.typing import EncodableT, FieldT

from bot.platforms.wecom import metrics
from bot.platforms.wecom.events import PLATFORM
from bot.redis_link import patient_client
from config.redis_address import RedisAddress
from contract import names

LAST_WORD_WITHIN_S = 2.0

log = structlog.get_logger(__name__)


class Gaps:
    """Is told by the link how it fares, and keeps it in Redis beside it: the link never waits for Redis.

    Times are seconds since the epoch.
    """

    def __init__(self, redis_address: RedisAddress, bot_id: str) -> None:
        self._address = redis_address
        self._key = names.wecom_link_key(bot_id)
        self._alive_at_s: float | None = None
        self._first_up_at_s: float | None = None
        self._total_s = 0.0
        self._changed = asyncio.Event()

    def up(self) -> None:
        """The link has come up."""
        now_s = time.time()
        if self._alive_at_s is None:
            self._first_up_at_s = now_s
        else:
            metrics.reconnects.labels(PLATFORM).inc()
            self._count(now_s - self._alive_at_s)
        self.alive()

    def alive(self) -> None:
        """The link has just proved to work, or ends at this moment."""
        self._alive_at_s = time.time()
        self._changed.set()

    async def keep(self) -> None:
        """Write down what changes, until cancelled; then once more."""
        async with patient_client(self._address) as redis:
            before: Any = await redis.hgetall(self._key)
            self._total_s += float(before.get("gaps_s", 0))
            try:
                await self._count_since_the_last_process(float(before.get("alive_at_s", "inf")))
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    await self._save(redis)
            finally:
                if self._first_up_at_s is not None:
                    async with asyncio.timeout(LAST_WORD_WITHIN_S):
                        await self._save(redis)

    async def _count_since_the_last_process(self, alive_at_s: float) -> None:
        while self._first_up_at_s is None:
            await self._changed.wait()
            self._changed.clear()
        self._changed.set()
        self._count(self._first_up_at_s - alive_at_s)

    async def _save(self, redis: Redis) -> None:
        mapping: dict[FieldT, EncodableT] = {"alive_at_s": repr(self._alive_at_s), "gaps_s": repr(self._total_s)}
        await redis.hset(self._key, mapping=mapping)

    def _count(self, gap_s: float) -> None:
        # Two machines' clocks may differ; a gap is never less than nothing.
        if gap_s <= 0:
            return
        self._total_s += gap_s
        metrics.link_gaps.labels(PLATFORM).inc(gap_s)
        log.warning("the link was down: what people wrote to the bot meanwhile is lost", gap_s=round(gap_s, 3))
