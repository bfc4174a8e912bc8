"""The embedded store: one SQLite file in the home folder.

Many processes read it while one writes (write-ahead log), and a process that is killed while it writes leaves the state
before or after its change, never between. A change is prepared in a scratch database first, so that the file is locked
for writing only while rows are copied. Each reading process keeps the vectors of the bases it searches in memory, and
brings them up to date when it sees a new generation.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from workers.knowledge.base import check_base_name
from workers.knowledge.document import KnowledgeError
from workers.knowledge.embedder import Vectors
from workers.knowledge.passage import Passage
from workers.knowledge.store import (
    Embed,
    FileState,
    NewDocument,
    Snapshot,
    Store,
    StoredBase,
    StoredDocument,
    embedder_mismatch,
)
from workers.knowledge.stores.embedded_change import (
    count_words,
    delete,
    prepare,
    prepare_vectors,
    publish,
    replace_vectors,
    replaced_documents,
    scratch_database,
)
from workers.knowledge.stores.embedded_snapshot import BaseView, EmbeddedSnapshot, read_document, read_passages
from workers.knowledge.stores.matrix import EXACT_UP_TO, STORED, Matrix
from workers.knowledge.stores.sqlite_file import (
    BASE_TABLES,
    SqliteFile,
    base_number,
    base_numbers,
    make_base,
    meta,
    transaction,
    write_embedder,
)

_OPTIMISED_FROM = 5000  # passages in one change; then the pieces of the full-text index are made one
_READ_AT_ONCE = 4096


class EmbeddedStore(Store):
    """Knowledge bases in one file. Of a base with more passages than `exact_up_to`, sketches are kept in memory."""

    def __init__(self, path: Path, embedder_id: str, dimensions: int, *, exact_up_to: int = EXACT_UP_TO) -> None:
        self.path = path
        self._exact_up_to = exact_up_to
        self._embedder = (embedder_id, dimensions)
        self._file = SqliteFile(path, self._embedder)
        self._refresh = threading.Lock()
        self._matrices: dict[int, Matrix] = {}

    def close(self) -> None:
        """Close the connections that no thread uses."""
        self._file.close()

    # --- reading

    def bases(self) -> list[StoredBase]:
        """Every knowledge base, by name."""
        with self._file.connection() as db:
            found = db.execute(
                "SELECT b.name, count(d.id), coalesce(sum(d.passages), 0), b.generation FROM bases b "
                "LEFT JOIN documents d ON d.base = b.id GROUP BY b.id ORDER BY b.name"
            )
            return [StoredBase(*row) for row in found]

    def documents(self, base: str) -> list[StoredDocument]:
        """Every document of a base, by source."""
        with self._file.connection() as db:
            found = db.execute(
                "SELECT d.identity, d.source, d.title, d.language, d.fingerprint, d.size_bytes, d.modified_at_s, "
                "d.added_at_s, d.passages FROM documents d JOIN bases b ON b.id = d.base WHERE b.name = ? "
                "ORDER BY d.source, d.identity",
                (base,),
            )
            return [StoredDocument(*row) for row in found]

    def passages_of(self, base: str, identity: str) -> list[Passage]:
        """The passages of a document in their order."""
        with self._file.connection() as db, transaction(db, "DEFERRED"):
            number = base_number(db, base)
            return read_document(db, number, identity) if number else []

    @contextmanager
    def snapshot(self, bases: Collection[str]) -> Iterator[Snapshot]:
        """These bases as they are now."""
        with self._file.connection() as db:
            while True:
                with transaction(db, "DEFERRED"):
                    views = self._views(db, bases)
                    if views is not None:
                        yield EmbeddedSnapshot(db, views)
                        return

    def check_embedder(self) -> None:
        """Raise KnowledgeError where the vectors are another embedder's."""
        with self._file.connection() as db:
            self._check_embedder(db)

    # --- writing

    def apply(
        self,
        base: str,
        put: Iterable[NewDocument] = (),
        *,
        remove: Collection[str] = (),
        touch: Collection[FileState] = (),
    ) -> None:
        """Change a base in one step: first into the scratch database, then from there in one transaction."""
        check_base_name(base)
        with self._file.connection() as db, scratch_database(db):
            self._check_embedder(db)
            words: Counter[str] = Counter()
            prepared = prepare(db, put, self._embedder[1], words)
            with transaction(db, "IMMEDIATE"):
                self._check_embedder(db)
                number = make_base(db, base)
                replaced = replaced_documents(db)
                removed = delete(db, number, {*remove, *replaced}, words)
                publish(db, number)
                count_words(db, number, words)
                db.executemany(
                    "UPDATE documents SET size_bytes = ?, modified_at_s = ? WHERE base = ? AND identity = ?",
                    [(one.size_bytes, one.modified_at_s, number, one.identity) for one in touch],
                )
                if removed or replaced:
                    db.execute("UPDATE bases SET generation = generation + 1 WHERE id = ?", (number,))
            if prepared >= _OPTIMISED_FROM:
                db.execute(f"INSERT INTO words_{number} (words_{number}) VALUES ('optimize')")  # noqa: S608

    def remove_base(self, base: str) -> bool:
        """Remove a base with all that is in it."""
        with self._file.connection() as db, transaction(db, "IMMEDIATE"):
            number = base_number(db, base)
            if number is None:
                return False
            for table in BASE_TABLES:
                db.execute(f"DROP TABLE {table}_{number}")
            db.execute("DELETE FROM documents WHERE base = ?", (number,))
            db.execute("DELETE FROM bases WHERE id = ?", (number,))
            return True

    def rebuild(self, embed: Embed, progress: Callable[[int, int], None]) -> int:
        """Make every vector anew; what is searched meanwhile is the old ones."""
        with self._file.connection() as db, scratch_database(db):
            numbers = [int(row[0]) for row in db.execute("SELECT id FROM bases")]
            counts = {
                number: db.execute(f"SELECT count(*) FROM passages_{number}").fetchone()[0]  # noqa: S608
                for number in numbers
            }
            whole, done = sum(counts.values()), 0
            for number in numbers:
                for passages in read_passages(db, number):
                    prepare_vectors(db, [one.id for one in passages], embed(passages))
                    done += len(passages)
                    progress(done, whole)
            with transaction(db, "IMMEDIATE"):
                if base_numbers(db) != set(numbers):
                    raise KnowledgeError("a knowledge base was added or removed meanwhile: run it again")
                for number in numbers:
                    replace_vectors(db, number)
                write_embedder(db, self._embedder)
                db.execute("UPDATE bases SET generation = generation + 1")
            return done

    # --- the inside

    def _views(self, db: sqlite3.Connection, bases: Collection[str]) -> list[BaseView] | None:
        """The bases with their vectors, all of the state that the transaction sees; None where that is outdated."""
        self._check_embedder(db)
        rebuilds = int(meta(db, "rebuilds"))
        views = []
        for name in bases:
            row = db.execute("SELECT id, generation FROM bases WHERE name = ?", (name,)).fetchone()
            if row is None:
                continue
            number, version = row[0], (rebuilds, row[1])
            matrix = self._matrices.get(number)
            if matrix is None or matrix.version != version:
                matrix = self._refreshed(db, number, version)
            if matrix.version != version:
                return None
            views.append(BaseView(number, matrix))
        return views

    def _refreshed(self, db: sqlite3.Connection, number: int, version: tuple[int, int]) -> Matrix:
        """The matrix at this version, or at a newer one that another thread has read meanwhile."""
        with self._refresh:
            held = self._matrices.get(number) or self._empty()
            if held.version < version:
                if held.version[0] != version[0]:
                    held = self._empty()  # all were made anew
                held = self._matrices[number] = _changed(db, number, held, version)
                for gone in set(self._matrices) - base_numbers(db):
                    del self._matrices[gone]
            return held

    def _empty(self) -> Matrix:
        return Matrix((-1, -1), self._embedder[1], self._exact_up_to)

    def _check_embedder(self, db: sqlite3.Connection) -> None:
        made = (meta(db, "embedder"), int(meta(db, "dimensions")))
        if made != self._embedder:
            raise embedder_mismatch(str(self.path), made, self._embedder)


def _changed(db: sqlite3.Connection, number: int, held: Matrix, version: tuple[int, int]) -> Matrix:
    """The matrix with what came and without what went."""
    last = held.last_id
    there = np.fromiter(
        (row[0] for row in db.execute(f"SELECT id FROM passages_{number} WHERE id <= ?", (last,))),  # noqa: S608
        np.int64,
    )
    rows = db.execute(f"SELECT id, vector FROM vectors_{number} WHERE id > ? ORDER BY id", (last,))  # noqa: S608
    parts = iter(lambda: rows.fetchmany(_READ_AT_ONCE), [])
    return held.changed(version, there, _arrays(parts, held.dimensions))


def _arrays(parts: Iterable[list[tuple[int, bytes]]], dimensions: int) -> Iterator[tuple[list[int], Vectors]]:
    for rows in parts:
        vectors = np.frombuffer(b"".join(row[1] for row in rows), STORED).reshape(len(rows), dimensions)
        yield [row[0] for row in rows], vectors.astype(np.float32)
