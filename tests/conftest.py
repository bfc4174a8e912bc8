"""What tests of several folders need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import redis.asyncio

from tests.valkey import ValkeyServer


@pytest.fixture(scope="session")
def _valkey_of_the_session() -> Iterator[ValkeyServer]:
    server = ValkeyServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def valkey(_valkey_of_the_session: ValkeyServer) -> ValkeyServer:
    """The session's Valkey server, empty. Do not stop it: `make_valkey` is for that."""
    _valkey_of_the_session.flush()
    return _valkey_of_the_session


@pytest.fixture
def make_valkey() -> Iterator[Callable[[], ValkeyServer]]:
    """Start servers that belong to this test alone, to be killed and started again."""
    servers: list[ValkeyServer] = []

    def make() -> ValkeyServer:
        server = ValkeyServer()
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.remove()


@pytest.fixture
async def redis_client(valkey: ValkeyServer) -> AsyncIterator[redis.asyncio.Redis]:
    """An asyncio client of the session's server, which gives text."""
    async with redis.asyncio.Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client
