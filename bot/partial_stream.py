"""The stream of partial answers: read from a moment ago on, lost without harm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from contract import names
from contract.answer import PartialAnswer
from contract.wire import WireError

BLOCK_MS = 500
BATCH = 500
PAUSE_S = 0.2
LOOK_BACK_S = 10
"""A bot that is started anew goes on with what its questions last had to show."""

log = structlog.get_logger(__name__)


async def partial_answers(
    redis: Redis, platform: str, stopping: asyncio.Event, look_back_s: int = LOOK_BACK_S
) -> AsyncIterator[list[PartialAnswer]]:
    """Batches of partial answers as they come, each question's newest alone, until `stopping` is set.

    `redis` has to be a client that raises when Redis is gone.
    """
    stream, cursor = names.partials_stream(platform), ""
    while not stopping.is_set():
        try:
            if not cursor:
                seconds, _microseconds = await redis.time()
                cursor = str((seconds - look_back_s) * 1000)
            answer: Any = await redis.xread({stream: cursor}, count=BATCH, block=BLOCK_MS)
        except RedisError:
            await asyncio.sleep(PAUSE_S)
            continue
        batch = [one for _stream, entries in answer for one in entries] if answer else []
        if batch:
            cursor = batch[-1][0]
            yield _newest_of_each([fields.get("partial", "") for _id, fields in batch])


def _newest_of_each(wires: list[str]) -> list[PartialAnswer]:
    newest: dict[str, PartialAnswer] = {}
    for wire in wires:
        try:
            partial = PartialAnswer.from_wire(wire)
        except WireError as error:
            log.warning("a partial answer cannot be read", error=str(error))
            continue
        newest[partial.question_id] = partial
    return list(newest.values())
