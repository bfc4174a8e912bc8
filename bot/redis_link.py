"""Connections to Redis: one client that waits until Redis is back, one that tells at once that it is gone."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import RedisError

from config.redis_address import RedisAddress
from config.redis_clients import asyncio_client, trouble
from contract.errors import FennelError
from contract.scripts import ScriptCall

RETRY_FIRST_S, RETRY_LAST_S = 0.02, 1.0
FOREVER = -1

log = structlog.get_logger(__name__)


class RedisUnusableError(FennelError):
    """Redis is there and does not let us in, or is not there and we do not wait for it."""


def patient_client(address: RedisAddress) -> Redis:
    """A client whose commands wait until Redis is back; give it only commands that may be done twice."""
    return asyncio_client(address, Retry(ExponentialBackoff(cap=RETRY_LAST_S, base=RETRY_FIRST_S), FOREVER))


def plain_client(address: RedisAddress) -> Redis:
    """A client whose commands raise ConnectionError or TimeoutError at once when Redis is gone."""
    return asyncio_client(address, Retry(NoBackoff(), 0))


async def wait_for_redis(address: RedisAddress, interval_s: float = 0.2) -> None:
    """Return when Redis answers; says once that it is waiting.

    Raises RedisUnusableError for what no waiting cures, such as a wrong password.
    """
    told = False
    async with plain_client(address) as client:
        while True:
            try:
                await client.ping()
                return
            except RedisError as error:
                what = trouble(error, address)
                if not what.may_pass:
                    raise RedisUnusableError(str(what)) from error
                if not told:
                    log.warning("waiting for Redis", error=str(what))
                    told = True
                await asyncio.sleep(interval_s)


async def run_script(client: Redis, call: ScriptCall) -> Any:
    """EVAL one of `contract.scripts`."""
    script, keys, arguments = call
    return await client.eval(script, keys, *arguments)
