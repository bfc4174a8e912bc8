"""Whether there is anybody who would answer a question."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from contract import names
from contract.errors import FennelError

TIMEOUT_S = 3.0
WORKERS_KEY = f"rq:workers:{names.QUEUE}"
"""Where RQ lists the workers of our queue, by the keys that live as long as their heartbeat."""


class NothingRunningError(FennelError):
    """No Redis, or no worker: a question would not be answered."""


async def check_running(client: Redis) -> None:
    """Return when Redis answers and a worker is alive; raises NothingRunningError.

    `client` has to be one that raises when Redis is gone (`bot.redis_link.plain_client`).
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            if await _has_worker(client):
                return
    except (RedisError, TimeoutError) as error:
        raise NothingRunningError("nothing is running (Redis does not answer): start it with `make up`") from error
    raise NothingRunningError("no worker is running: start it with `make up`")


async def _has_worker(client: Redis) -> bool:
    keys: Any = await client.smembers(WORKERS_KEY)
    for key in keys:
        if await client.exists(key) and not await client.hexists(key, "death"):
            return True
    return False
