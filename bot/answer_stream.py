"""The stream of final answers as the bot reads it: a consumer group with a name that a restart keeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from bot import metrics
from contract import names
from contract.answer import FinalAnswer
from contract.question import Question
from contract.wire import NewerWireError, WireError

BLOCK_MS = 500
BATCH = 64
PAUSE_S = 0.2
LOOK_AGAIN_S = 30.0
"""How often to look for entries that were handed to nobody who is alive: to a process that was replaced."""

log = structlog.get_logger(__name__)

RawEntry = tuple[str, dict[str, str] | None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One final answer that waits to be shown; `id` is its place in the stream."""

    id: str
    question: Question
    final: FinalAnswer


class AnswerStream:
    """Gives each entry once in this process's life, first those that an earlier process had in hand.

    `redis` has to be a client that raises when Redis is gone (`plain_client`): an entry that was handed out while
    the connection broke is pending, and has to be asked for again from the beginning.
    """

    def __init__(self, redis: Redis, platform: str, consumer: str) -> None:
        self._redis = redis
        self._platform = platform
        self._stream = names.answers_stream(platform)
        self._consumer = consumer
        self._held: set[str] = set()
        self._newer: set[str] = set()

    def release(self, entry_id: str) -> None:
        """The entry has left the stream."""
        self._held.discard(entry_id)

    async def entries(self, stopping: asyncio.Event) -> AsyncIterator[Entry]:
        """The entries in the stream's order, until `stopping` is set."""
        cursor, opened_at_s = "", 0.0
        while not stopping.is_set():
            if time.monotonic() > opened_at_s + LOOK_AGAIN_S:
                cursor = ""
            try:
                if not cursor:
                    await self._open()
                    cursor, opened_at_s = "0", time.monotonic()
                batch = await self._read(cursor)
            except RedisError as error:
                if cursor:
                    log.warning("the answers cannot be read: trying until they can", error=str(error))
                cursor = ""
                await asyncio.sleep(PAUSE_S)
                continue
            if cursor != ">":
                cursor = batch[-1][0] if batch else ">"
            for entry_id, fields in batch:
                if entry_id in self._held:
                    continue
                entry = await self._parse(entry_id, fields)
                if entry:
                    self._held.add(entry_id)
                    yield entry

    async def _open(self) -> None:
        """Make the group, and take over what any other consumer had in hand: its process cannot be alive."""
        try:
            await self._redis.xgroup_create(self._stream, names.DELIVERY_GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        start = "0-0"
        while True:
            start, *_ = await self._redis.xautoclaim(
                self._stream, names.DELIVERY_GROUP, self._consumer, min_idle_time=0, start_id=start, justid=False
            )
            if start == "0-0":
                return

    async def _read(self, cursor: str) -> list[RawEntry]:
        answer: Any = await self._redis.xreadgroup(
            names.DELIVERY_GROUP, self._consumer, {self._stream: cursor}, count=BATCH, block=BLOCK_MS
        )
        return [one for _stream, batch in answer for one in batch] if answer else []

    async def _parse(self, entry_id: str, fields: dict[str, str] | None) -> Entry | None:
        """The entry, or None for one that is no answer: it is let go of, so that it is not read for ever."""
        if not fields:
            # Deleted from the stream and still pending: XDEL without XACK, by hand.
            await self._drop(entry_id)
            return None
        try:
            final = FinalAnswer.from_wire(fields.get("final", ""))
            return Entry(entry_id, Question.from_wire(final.question), final)
        except NewerWireError as error:
            if entry_id not in self._newer:
                self._newer.add(entry_id)
                log.error("an answer of a newer version stays until a newer bot is started", error=str(error))
            return None
        except WireError as error:
            log.error("an entry of the answers stream is no answer, and is dropped", error=str(error))
        metrics.entries_dropped.labels(self._platform).inc()
        await self._drop(entry_id)
        return None

    async def _drop(self, entry_id: str) -> None:
        try:
            async with self._redis.pipeline(transaction=True) as step:
                step.xack(self._stream, names.DELIVERY_GROUP, entry_id)
                step.xdel(self._stream, entry_id)
                await step.execute()
        except RedisError as error:
            log.warning("an entry cannot be dropped now", error=str(error))
