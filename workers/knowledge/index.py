"""The index: documents, passages, their vectors and their words, in one SQLite file.

Many processes read it while one writes (write-ahead log), and a process that is killed while it writes leaves the
state before or after a document, never between. Every change raises the generation; a reader that sees a new
one brings its matrix of vectors up to date.
"""

from __future__ import annotations

import fcntl
import json
import queue
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workers.knowledge.document import Document, KnowledgeError
from workers.knowledge.embedder import Vectors
from workers.knowledge.passage import Passage

SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 30.0
_STORED = np.dtype("<f2")
# The words come separated by spaces, so whatever is no space belongs to a word.
_TOKENIZER = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Co'"
_SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE documents (
        id INTEGER PRIMARY KEY AUTOINCREMENT, identity TEXT NOT NULL UNIQUE, source TEXT NOT NULL, title TEXT NOT NULL,
        language TEXT NOT NULL, fingerprint TEXT NOT NULL, added_at_s REAL NOT NULL
    )""",
    """CREATE TABLE passages (
        id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents (id),
        heading TEXT NOT NULL, language TEXT NOT NULL, text TEXT NOT NULL
    )""",
    "CREATE INDEX passages_document ON passages (document)",
    "CREATE TABLE vectors (id INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
    f'CREATE VIRTUAL TABLE words USING fts5 (text, tokenize = "{_TOKENIZER}")',
    "CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, row)",
    "INSERT INTO meta VALUES ('generation', '0')",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """A row of `fennel kb list`."""

    source: str
    title: str
    language: str
    passages: int
    added_at_s: float


@dataclass(frozen=True, slots=True)
class Matrix:
    """All vectors at one generation: row n belongs to the passage `ids[n]`; ids rise."""

    generation: int
    ids: NDArray[np.int64]
    vectors: Vectors


class Index:
    """The index file. Every method may be called from many threads at once.

    Raises KnowledgeError for a file that is no index, is damaged, cannot be written,
    or holds another embedder's vectors.
    """

    def __init__(self, file: Path, embedder_id: str, dimensions: int) -> None:
        self.file = file
        self.embedder_id = embedder_id
        self.dimensions = dimensions
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self._refresh = threading.Lock()
        self._matrix = Matrix(-1, np.zeros(0, np.int64), np.zeros((0, dimensions), np.float32))

    def close(self) -> None:
        """Close the connections that no thread uses."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    # --- reading

    def matrix(self) -> Matrix:
        """The vectors as they are now; costs a moment after a change, else nothing."""
        with self._connection() as db:
            if self._generation(db) == self._matrix.generation:
                return self._matrix
            with self._refresh, _transaction(db, "DEFERRED"):
                generation = self._generation(db)
                if generation != self._matrix.generation:
                    self._check_embedder(db)
                    self._matrix = self._refreshed(db, generation)
                return self._matrix

    def with_words(self, words: Sequence[str], limit: int) -> list[int]:
        """The passages that hold any of the words, the best first (BM25)."""
        if not words:
            return []
        wanted = " OR ".join(f'"{word.replace(chr(34), "")}"' for word in words)
        with self._connection() as db:
            found = db.execute("SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?", (wanted, limit))
            return [int(row[0]) for row in found]

    def frequencies(self, words: Sequence[str]) -> dict[str, int]:
        """In how many passages each of the words stands."""
        with self._connection() as db:
            counts: dict[str, int] = {}
            for word in words:
                row = db.execute("SELECT doc FROM vocabulary WHERE term = ?", (word,)).fetchone()
                counts[word] = int(row[0]) if row else 0
            return counts

    def words_of(self, ids: Sequence[int]) -> dict[int, frozenset[str]]:
        """The words of each of the passages that are still there."""
        with self._connection() as db:
            found = db.execute(f"SELECT rowid, text FROM words WHERE rowid IN ({_marks(ids)})", ids)  # noqa: S608
            return {int(rowid): frozenset(text.split(" ")) for rowid, text in found}

    def passages(self, ids: Sequence[int]) -> dict[int, Passage]:
        """Those of the passages that are still there."""
        with self._connection() as db:
            found = db.execute(
                "SELECT p.id, d.source, d.title, p.heading, p.language, p.text FROM passages p "  # noqa: S608
                f"JOIN documents d ON d.id = p.document WHERE p.id IN ({_marks(ids)})",
                ids,
            )
            return {row[0]: _passage(row) for row in found}

    def documents(self) -> list[IndexedDocument]:
        """Every document, by its source."""
        with self._connection() as db:
            found = db.execute(
                "SELECT d.source, d.title, d.language, count(p.id), d.added_at_s FROM documents d "
                "LEFT JOIN passages p ON p.document = d.id GROUP BY d.id ORDER BY d.source"
            )
            return [IndexedDocument(*row) for row in found]

    def fingerprint(self, identity: str) -> str | None:
        """What the document's content was when it was added; None for one that is not here."""
        with self._connection() as db:
            row = db.execute("SELECT fingerprint FROM documents WHERE identity = ?", (identity,)).fetchone()
            return str(row[0]) if row else None

    # --- writing

    def check_embedder(self) -> None:
        """Raise KnowledgeError where the index holds another embedder's vectors."""
        with self._connection() as db:
            self._check_embedder(db)

    def put(
        self,
        identity: str,
        fingerprint: str,
        document: Document,
        passages: Sequence[tuple[Passage, Sequence[str]]],
        vectors: Vectors,
    ) -> None:
        """Add a document with its passages and their words, or take them for the ones it had."""
        with self._connection() as db, _transaction(db, "IMMEDIATE"):
            self._check_embedder(db)
            self._delete(db, identity)
            added = db.execute(
                "INSERT INTO documents (identity, source, title, language, fingerprint, added_at_s) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (identity, document.source, document.title, document.language, fingerprint, time.time()),
            )
            for (passage, words), vector in zip(passages, vectors, strict=True):
                heading = json.dumps(passage.heading, ensure_ascii=False)
                row = db.execute(
                    "INSERT INTO passages (document, heading, language, text) VALUES (?, ?, ?, ?)",
                    (added.lastrowid, heading, passage.language, passage.text),
                )
                db.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (row.lastrowid, " ".join(words)))
                db.execute("INSERT INTO vectors (id, vector) VALUES (?, ?)", (row.lastrowid, _blob(vector)))
            self._raise_generation(db)

    def remove(self, source: str) -> int:
        """Remove the documents of this source, or below this folder; says how many."""
        with self._connection() as db, _transaction(db, "IMMEDIATE"):
            inside = source.rstrip("/") + "/"
            found = db.execute(
                "SELECT identity FROM documents WHERE source = ? OR substr(source, 1, ?) = ?",
                (source, len(inside), inside),
            ).fetchall()
            for (identity,) in found:
                self._delete(db, identity)
            if found:
                self._raise_generation(db)
            return len(found)

    def rebuild(self, batches: Iterator[tuple[list[int], Vectors]]) -> None:
        """Take the given vectors, one for every passage there is, for those of the embedder that was."""
        with self._connection() as db, _transaction(db, "IMMEDIATE"):
            db.execute("DELETE FROM vectors")
            for ids, vectors in batches:
                rows = [(one, _blob(vector)) for one, vector in zip(ids, vectors, strict=True)]
                db.executemany("INSERT INTO vectors (id, vector) VALUES (?, ?)", rows)
            missing = db.execute("SELECT count(*) FROM passages WHERE id NOT IN (SELECT id FROM vectors)").fetchone()
            if missing[0]:
                raise KnowledgeError(f"{missing[0]} passages were added meanwhile: run it again")
            self._write_embedder(db)
            self._raise_generation(db)

    def passage_ids(self) -> list[int]:
        """Every passage."""
        with self._connection() as db:
            return [int(row[0]) for row in db.execute("SELECT id FROM passages ORDER BY id")]

    # --- the inside

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            try:
                db = self._idle.get_nowait()
            except queue.Empty:
                db = self._open()
            try:
                yield db
            except BaseException:
                db.close()
                raise
            self._idle.put(db)
        except sqlite3.DatabaseError as error:
            raise KnowledgeError(_sentence(self.file, error)) from error

    def _open(self) -> sqlite3.Connection:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            # The first to come makes the tables; those who come at the same moment wait for it.
            with self.file.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                return self._opened()
        except OSError as error:
            raise KnowledgeError(f"the index {self.file} cannot be opened: {error.strerror}") from error

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.file, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                with _transaction(db, "IMMEDIATE"):
                    for statement in _SCHEMA:
                        db.execute(statement)
                    self._write_embedder(db)
            elif version != SCHEMA_VERSION:
                raise KnowledgeError(
                    f"the index {self.file} was made by another version of Fennel (its form is {version}, "
                    f"this one reads {SCHEMA_VERSION}): move it away and add the documents again"
                )
        except BaseException:
            db.close()
            raise
        return db

    def _refreshed(self, db: sqlite3.Connection, generation: int) -> Matrix:
        held = self._matrix
        last = int(held.ids[-1]) if len(held.ids) else 0
        # Ids only rise, so what is new has a higher one; after a rebuild the old vectors are worth nothing.
        if self._rebuilt_at(db) > held.generation:
            held, last = Matrix(-1, held.ids[:0], held.vectors[:0]), 0
        rows = db.execute("SELECT id, vector FROM vectors WHERE id > ? ORDER BY id", (last,)).fetchall()
        there = np.fromiter((row[0] for row in db.execute("SELECT id FROM vectors WHERE id <= ?", (last,))), np.int64)
        kept = np.isin(held.ids, there, assume_unique=True)
        new = np.frombuffer(b"".join(row[1] for row in rows), _STORED).reshape(len(rows), self.dimensions)
        return Matrix(
            generation,
            np.concatenate([held.ids[kept], np.array([row[0] for row in rows], np.int64)]),
            np.concatenate([held.vectors[kept], new.astype(np.float32)]),
        )

    def _generation(self, db: sqlite3.Connection) -> int:
        return int(_meta(db, "generation"))

    def _rebuilt_at(self, db: sqlite3.Connection) -> int:
        return int(_meta(db, "rebuilt_at_generation"))

    def _raise_generation(self, db: sqlite3.Connection) -> None:
        db.execute("UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE name = 'generation'")

    def _write_embedder(self, db: sqlite3.Connection) -> None:
        said = {
            "embedder": self.embedder_id,
            "dimensions": str(self.dimensions),
            "rebuilt_at_generation": str(self._generation(db) + 1),
        }
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", said.items())

    def _check_embedder(self, db: sqlite3.Connection) -> None:
        made, dimensions = _meta(db, "embedder"), int(_meta(db, "dimensions"))
        if (made, dimensions) != (self.embedder_id, self.dimensions):
            raise KnowledgeError(
                f"the index holds vectors of the embedder {made} ({dimensions} numbers each), and the setting "
                f"knowledge.embedder means {self.embedder_id} ({self.dimensions}): run `fennel kb rebuild`"
            )

    @staticmethod
    def _delete(db: sqlite3.Connection, identity: str) -> None:
        row = db.execute("SELECT id FROM documents WHERE identity = ?", (identity,)).fetchone()
        if row is None:
            return
        for table, name in (("vectors", "id"), ("words", "rowid")):
            db.execute(
                f"DELETE FROM {table} WHERE {name} IN (SELECT id FROM passages WHERE document = ?)",  # noqa: S608
                row,
            )
        db.execute("DELETE FROM passages WHERE document = ?", row)
        db.execute("DELETE FROM documents WHERE id = ?", row)


@contextmanager
def _transaction(db: sqlite3.Connection, kind: str) -> Iterator[None]:
    db.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        db.rollback()
        raise
    db.execute("COMMIT")


def _meta(db: sqlite3.Connection, name: str) -> str:
    return str(db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _blob(vector: Vectors) -> bytes:
    return vector.astype(_STORED).tobytes()


def _passage(row: tuple[int, str, str, str, str, str]) -> Passage:
    number, source, title, heading, language, text = row
    return Passage(number, source, title, tuple(json.loads(heading)), "zh" if language == "zh" else "en", text)


def _sentence(file: Path, error: sqlite3.DatabaseError) -> str:
    said = str(error)
    if "full" in said:
        return f"the index {file} cannot grow: the disk is full"
    if "locked" in said or "busy" in said:
        return f"another program has been writing to the index {file} for {_BUSY_TIMEOUT_S:.0f} s: try again later"
    if "readonly" in said or "unable to open" in said:
        return f"the index {file} cannot be written: {said}"
    return f"the index {file} is damaged ({said}): move it away and add the documents again"
