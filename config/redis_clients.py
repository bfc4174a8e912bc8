"""Clients of Redis, for threads and for asyncio, by the same rules: TLS, user, password, sentinels and time limits.

Every connection of ours is made here.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import redis
import redis.asyncio as aioredis
import redis.asyncio.sentinel as aiosentinel
from redis import sentinel
from redis.asyncio.retry import Retry as AsyncioRetry
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from config.redis_address import RedisAddress

CONNECT_TIMEOUT_S = 10.0
SENTINEL_TIMEOUT_S = 2.0
"""How long one sentinel may take: there are others."""
MAX_ASYNCIO_CONNECTIONS = 32
# A host whose cable was pulled sends nothing, not even an end. Idle, it is noticed after 5 + 3 × 3 s; what was written
# and not confirmed for as long ends the connection too.
KEEPALIVE = {
    socket.TCP_KEEPIDLE: 5,
    socket.TCP_KEEPINTVL: 3,
    socket.TCP_KEEPCNT: 3,
    socket.TCP_USER_TIMEOUT: 14_000,
}


def threads_client(address: RedisAddress, timeout_s: float, *, decode: bool = True) -> redis.Redis:
    """A client for threads; each command ends within `timeout_s`, or raises redis.TimeoutError.

    With `decode`, replies are text; RQ wants bytes.
    """
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(timeout_s, CONNECT_TIMEOUT_S),
        "decode_responses": decode,
    }
    if not address.sentinels:
        return redis.Redis(connection_pool=redis.ConnectionPool.from_url(address.url, **options, **_options(address)))
    watchers = sentinel.Sentinel(  # type: ignore[no-untyped-call]
        address.sentinels,
        sentinel_kwargs={
            **_sentinel_options(address),
            "socket_timeout": SENTINEL_TIMEOUT_S,
            "retry": Retry(NoBackoff(), 0),
        },
    )
    more = {**options, **_options(address)}
    pool = _ThreadsPool(address.service, watchers, ssl=address.tls, **more)  # type: ignore[no-untyped-call]
    return redis.Redis.from_pool(pool)


def asyncio_client(address: RedisAddress, retry: AsyncioRetry) -> aioredis.Redis:
    """A client for asyncio, which gives text; `retry` says what becomes of a command that Redis did not answer."""
    options: dict[str, Any] = {
        "max_connections": MAX_ASYNCIO_CONNECTIONS,
        "timeout": None,
        "retry": retry,
        "decode_responses": True,
        "encoding_errors": "replace",
        # With a timeout, redis-py writes inside `asyncio.wait_for`, which up to Python 3.11 may swallow a
        # cancellation: a process that has to end would go on. A server that hangs is waited for; one whose host is
        # gone is told by TCP.
        "socket_timeout": None,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
    }
    if not address.sentinels:
        return aioredis.Redis.from_pool(
            aioredis.BlockingConnectionPool.from_url(address.url, **options, **_options(address))
        )
    watchers = aiosentinel.Sentinel(  # type: ignore[no-untyped-call]
        address.sentinels,
        sentinel_kwargs={
            **_sentinel_options(address),
            "socket_timeout": None,
            "retry": AsyncioRetry(NoBackoff(), 0),
        },
    )
    more = {**options, **_options(address)}
    kind = _TlsConnection if address.tls else _Connection
    pool = _AsyncioPool(address.service, watchers, connection_class=kind, **more)  # type: ignore[no-untyped-call]
    return aioredis.Redis.from_pool(pool)


class _AsksAgain:
    """Asks the sentinels whenever it connects anew.

    redis-py's own connection asks when the pool hands it out, and connects to the same host again when it breaks in
    the middle of a command: a client that waits for Redis would wait for a dead host for ever.
    """

    connection_pool: _AsyncioPool

    async def connect_to(self, address: tuple[str, int]) -> None:
        """Connect to the server that the sentinels have just named."""
        self.host, self.port = address
        await super().connect_check_health(retry_socket_connect=False)  # type: ignore[misc]

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        """Connect where it is not connected; one try, because the next has to ask again."""
        del retry_socket_connect
        if not self.is_connected:  # type: ignore[attr-defined]
            self.host, self.port = await self.connection_pool.get_master_address()
        await super().connect_check_health(check_health, False)  # type: ignore[misc]


class _Connection(_AsksAgain, aiosentinel.SentinelManagedConnection):
    """Without TLS."""


class _TlsConnection(_AsksAgain, aiosentinel.SentinelManagedSSLConnection):
    """With TLS."""


class _Login(CredentialProvider):
    """User and password of an address; nothing where we come as nobody."""

    def __init__(self, address: RedisAddress) -> None:
        self._address = address

    def get_credentials(self) -> tuple[str, ...]:  # type: ignore[override]
        """As redis-py wants them, for AUTH."""
        try:
            user, password = self._address.login()
        except OSError as error:
            raise RedisConnectionError(f"{self._address.password_file} cannot be read: {error.strerror}") from error
        if not password:
            return ()
        return (user, password) if user else (password,)

    async def get_credentials_async(self) -> tuple[str, ...]:  # type: ignore[override]
        """The same for asyncio: a file of 44 bytes, once for each connection."""
        return self.get_credentials()


class _ThreadsPool(sentinel.SentinelConnectionPool):
    """Closes the connections to the sentinels too."""

    sentinel_manager: sentinel.Sentinel

    def close(self) -> None:
        """Close everything."""
        super().close()
        self.sentinel_manager.close()


class _AsyncioPool(aiosentinel.SentinelConnectionPool, aioredis.BlockingConnectionPool):
    """Waits for a free connection, as the pool without sentinels does, and for no sentinel that hangs."""

    sentinel_manager: aiosentinel.Sentinel

    async def get_master_address(self) -> tuple[str, int]:
        """Ask the sentinels, the next one first when one of them has hung. Raises redis.ConnectionError."""
        watchers = self.sentinel_manager.sentinels
        try:
            async with asyncio.timeout(SENTINEL_TIMEOUT_S * len(watchers)):
                found: tuple[str, int] = await super().get_master_address()  # type: ignore[no-untyped-call]
                return found
        except TimeoutError as error:
            watchers.append(watchers.pop(0))
            raise RedisTimeoutError("the sentinels take too long") from error

    async def aclose(self) -> None:
        """Close everything."""
        await super().aclose()
        for one in self.sentinel_manager.sentinels:
            await one.aclose()


def _options(address: RedisAddress) -> dict[str, Any]:
    """How to reach the server, whatever kind of client it is."""
    # Who we are is looked up for each connection: a password that was changed counts from the next one on.
    # Without a word on which library this is: that would be two more questions, and a right more that everyone needs.
    return {"credential_provider": _Login(address), "driver_info": None, **_network(address)}


def _sentinel_options(address: RedisAddress) -> dict[str, Any]:
    password = address.sentinel_password
    who = {"username": address.sentinel_user or None, "password": password} if password else {}
    return {**who, "ssl": address.tls, "socket_connect_timeout": SENTINEL_TIMEOUT_S, **_network(address)}


def _network(address: RedisAddress) -> dict[str, Any]:
    if address.url.startswith("unix:"):
        return {}
    options: dict[str, Any] = {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE}
    if address.tls:
        files = {"ssl_ca_certs": address.ca_file, "ssl_certfile": address.certificate_file}
        options |= {name: file for name, file in files.items() if file}
        if address.certificate_file:
            options["ssl_keyfile"] = address.key_file or address.certificate_file
    return options
