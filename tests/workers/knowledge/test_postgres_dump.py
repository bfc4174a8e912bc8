"""The commands that the documentation gives for knowledge bases in PostgreSQL save them and bring them back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.knowledge.postgres_server import PostgresServer
from tests.workers.knowledge.stores import EMBEDDER, document, texts, with_words
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.stores.postgres import PostgresStore


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of this file's own."""
    one = PostgresServer()
    one.start()
    yield one
    one.remove()


def test_what_pg_dump_saves_pg_restore_brings_into_an_empty_database(server: PostgresServer, tmp_path: Path) -> None:
    """With the extension's type and all tables, so that both searches find what they found, and more can be added."""
    first, second = server.make_database("first"), server.make_database("second")
    store = PostgresStore(first, EMBEDDER.id, EMBEDDER.dimensions)
    store.apply(DEFAULT_BASE, [document("tides", "The gauge is read every six minutes.")])
    store.close()
    file = tmp_path / "fennel.dump"
    save = ["--format=custom", "--extension=vector", "--schema=fennel", f"--file={file}", first]
    for command in (["pg_dump", *save], ["pg_restore", f"--dbname={second}", file]):
        program, *arguments = map(str, command)
        subprocess.run([server.program(program), *arguments], check=True, timeout=60)

    restored = PostgresStore(second, EMBEDDER.id, EMBEDDER.dimensions)
    found = texts(restored, "how often is the gauge read")
    restored.apply(DEFAULT_BASE, [document("new", "A passage more.")])
    assert found == ["The gauge is read every six minutes."]
    assert with_words(restored, "more") == ["A passage more."]
    restored.close()
