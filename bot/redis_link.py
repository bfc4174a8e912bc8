"""Connections to Redis: one client that waits until Redis is back, one that tells at once that it is gone."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.exceptions import AuthenticationError, AuthorizationError, RedisError

from contract.errors import FennelError
from contract.scripts import ScriptCall

MAX_CONNECTIONS = 32
CONNECT_TIMEOUT_S = 10.0
RETRY_FIRST_S, RETRY_LAST_S = 0.02, 1.0
FOREVER = -1

log = structlog.get_logger(__name__)


class RedisUnusableError(FennelError):
    """Redis is there and does not let us in, or is not there and we do not wait for it."""


def patient_client(url: str) -> Redis:
    """A client whose commands wait until Redis is back; give it only commands that may be done twice."""
    return _client(url, Retry(ExponentialBackoff(cap=RETRY_LAST_S, base=RETRY_FIRST_S), FOREVER))


def plain_client(url: str) -> Redis:
    """A client whose commands raise ConnectionError or TimeoutError at once when Redis is gone."""
    return _client(url, Retry(NoBackoff(), 0))


def _client(url: str, retry: Retry) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=MAX_CONNECTIONS,
        timeout=None,
        retry=retry,
        decode_responses=True,
        encoding_errors="replace",
        # With a timeout, redis-py writes inside `asyncio.wait_for`, which up to Python 3.11 may swallow a
        # cancellation: a process that has to end would go on. A server that hangs is waited for, a dead host is
        # told by TCP keep-alive, which is on by default.
        socket_timeout=None,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
    )
    return Redis.from_pool(pool)


async def wait_for_redis(url: str, interval_s: float = 0.2) -> None:
    """Return when Redis answers; says once that it is waiting. Raises RedisUnusableError for a wrong password."""
    told = False
    async with plain_client(url) as client:
        while True:
            try:
                await client.ping()
                return
            except (AuthenticationError, AuthorizationError) as error:
                raise RedisUnusableError(f"Redis does not let us in: {error}") from error
            except RedisError as error:
                if not told:
                    log.warning("waiting for Redis", error=str(error))
                    told = True
                await asyncio.sleep(interval_s)


async def run_script(client: Redis, call: ScriptCall) -> Any:
    """EVAL one of `contract.scripts`."""
    script, keys, arguments = call
    return await client.eval(script, keys, *arguments)
