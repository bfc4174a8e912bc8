"""What tests of several folders need."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator

# Before torch and numpy are imported: threads that wait for each other on a busy core made some tests 30 times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
import redis.asyncio
import structlog

from tests.valkey import ValkeyServer

# What takes a minute is begun first, or the last of several test processes ends a minute after the others.
LONGEST_FIRST = (
    "test_engines.py",
    "test_smollm2.py",
    "test_stack.py",
    "test_run.py",
    "test_transformers_serve.py",
    "test_up_refuses.py",
    "test_worker.py",
    "test_worker_ends.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first; within a file, and among the others, the order stays."""
    items.sort(key=lambda item: item.path.name not in LONGEST_FIRST)


@pytest.fixture(scope="session")
def _valkey_of_the_session() -> Iterator[ValkeyServer]:
    server = ValkeyServer()
    try:
        server.start()
        yield server
        # What a test tries on purpose it tries on a server of its own.
        assert not server.denials()
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


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Take back what a program's start does to this process's logging."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
