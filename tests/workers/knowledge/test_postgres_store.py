"""The store on PostgreSQL: that it finds what the embedded one finds, and what a server can suffer."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from config.environment import CHECKOUT
from tests.workers.knowledge.base import KnowledgeBase
from tests.workers.knowledge.postgres_server import PostgresServer
from workers.knowledge.document import KnowledgeError
from workers.knowledge.embedder import open_embedder
from workers.knowledge.stores.postgres import PostgresStore

DATA = CHECKOUT / "tests" / "data" / "retrieval"


def test_both_stores_find_the_same(postgres: PostgresServer, tmp_path: Path) -> None:
    """Of the first five passages for each question, 99 in 100 are the same in both, and nearly all first ones."""
    embedder = open_embedder("use-multilingual")
    server = PostgresStore(postgres.make_database(f"same_{uuid.uuid4().hex}"), embedder.id, embedder.dimensions)
    both = KnowledgeBase(tmp_path, embedder), KnowledgeBase(tmp_path, embedder, server)
    for base in both:
        base.add(DATA / "print-api")
    lines = (DATA / "print-api.jsonl").read_text(encoding="utf-8").splitlines()
    found = same = first = 0
    for line in lines:
        one, other = (
            [hit.passage.text for hit in base.retriever.search(json.loads(line)["question"], 5)] for base in both
        )
        found += len(one)
        same += len(set(one) & set(other))
        first += one[0] == other[0]
    server.close()
    assert same >= 0.99 * found
    assert first >= 0.99 * len(lines)


def test_a_server_that_was_started_again_is_used_again(tmp_path: Path) -> None:
    """While the server is away that is said in a sentence; when it is back, the same store goes on."""
    server = PostgresServer()
    try:
        server.start()
        store = PostgresStore(server.make_database("again"), "words", 64, timeout_s=1.0)
        assert store.bases() == []
        server.stop()
        with pytest.raises(KnowledgeError, match=r"the index again on .* (cannot be used|did not answer)"):
            store.bases()
        server.start_again()
        assert store.bases() == []
        store.close()
    finally:
        server.remove()


def test_what_is_no_address_is_refused() -> None:
    """A wrong setting is named without its value, which may hold a password."""
    with pytest.raises(KnowledgeError, match=r"^knowledge.postgres_url is no address of a PostgreSQL database$"):
        PostgresStore("http://user:secret@x", "words", 64)
