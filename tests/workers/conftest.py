"""A client of the session's server for the tests of workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.valkey import ValkeyServer


@pytest.fixture
def connection(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    """A client of the session's server."""
    with redis.Redis.from_url(valkey.url) as client:
        yield client
