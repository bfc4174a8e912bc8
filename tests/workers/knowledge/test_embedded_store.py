"""The embedded store: what is no index, and what only a file can suffer."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.workers.knowledge.stores import EMBEDDER, document
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.document import KnowledgeError
from workers.knowledge.stores.embedded import EmbeddedStore
from workers.knowledge.stores.sqlite_file import SCHEMA_VERSION


def test_what_is_no_index_is_said_in_a_sentence(tmp_path: Path) -> None:
    """A damaged file, one of another version and a folder in its place are named, with what to do."""
    damaged = tmp_path / "damaged.sqlite3"
    damaged.write_bytes(b"this is no database at all" * 100)
    newer = tmp_path / "newer.sqlite3"
    with sqlite3.connect(newer) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    (tmp_path / "folder.sqlite3").mkdir()
    (tmp_path / "file").write_text("")
    for path, sentence in (
        (damaged, "is damaged .*: move it away and add the documents again"),
        (newer, "was made by another version of Fennel"),
        (tmp_path / "folder.sqlite3", "cannot be written"),
        (tmp_path / "file" / "index.sqlite3", "cannot be opened: "),
    ):
        with pytest.raises(KnowledgeError, match=sentence):
            EmbeddedStore(path, "words", 64).bases()


def test_an_interrupted_change_leaves_no_file_behind(tmp_path: Path) -> None:
    """What a change is prepared in has no name: beside the index there is nothing but its log and its lock."""
    store = EmbeddedStore(tmp_path / "index.sqlite3", EMBEDDER.id, EMBEDDER.dimensions)
    names: set[str] = set()

    def documents() -> object:
        yield document("a", "one")
        names.update(path.name for path in tmp_path.iterdir())

    store.apply(DEFAULT_BASE, documents())  # type: ignore[arg-type]
    assert names <= {f"index.{end}" for end in ("sqlite3", "sqlite3-wal", "sqlite3-shm", "lock")}
    with sqlite3.connect(store.path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
