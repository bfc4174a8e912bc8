"""Connections to Redis: one client that waits until Redis is back, one that tells at once that it is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from config.redis_address import RedisAddress
from config.redis_clients import asyncio_client
from config.redis_trouble import trouble
from contract.errors import FennelError
from contract.scripts import ScriptCall

RETRY_FIRST_S, RETRY_LAST_S = 0.02, 1.0
FOREVER = -1

T = TypeVar("T")

log = structlog.get_logger(__name__)


class RedisUnusableError(FennelError):
    """Redis is there and does not let us in, or is not there and we do not wait for it."""


class PatientRetry(Retry):
    """Waits too while Redis refuses to write because too few replicas follow it (min-replicas-to-write)."""

    async def call_with_retry(self, do: Callable[[], Awaitable[T]], *rest: Any, **more: Any) -> T:
        """Call `do` until Redis has done it; the other arguments are the library's own."""

        async def unless_alone() -> T:
            try:
                return await do()
            except ResponseError as error:
                if "NOREPLICAS" in str(error):
                    raise RedisConnectionError(str(error)) from error
                raise

        return await super().call_with_retry(unless_alone, *rest, **more)


def patient_client(address: RedisAddress) -> Redis:
    """A client whose commands wait until Redis is back; give it only commands that may be done twice."""
    return asyncio_client(address, PatientRetry(ExponentialBackoff(cap=RETRY_LAST_S, base=RETRY_FIRST_S), FOREVER))


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
