"""A place for each kind of store."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.workers.knowledge.postgres_server import PostgresServer
from tests.workers.knowledge.stores import StorePlace, open_at


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's PostgreSQL server."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(params=["embedded", "sketched", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorePlace]:
    """An empty place for a store, of each kind."""
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        address = server.make_database(f"test_{uuid.uuid4().hex}")
    else:
        address = str(tmp_path / "kb" / "index.sqlite3")
    place = StorePlace(request.param, partial(open_at, request.param, address), address)
    yield place
    place.close()
