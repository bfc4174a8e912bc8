"""The file of the embedded store: its tables, its connections, and its errors in words.

A base has tables of its own, named by its number, so that nothing of one can be found in another: passages, vectors
(16-bit numbers), the words of each passage in a full-text index, and in how many passages each word stands.
"""

from __future__ import annotations

import fcntl
import queue
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workers.knowledge.document import KnowledgeError

SCHEMA_VERSION = 2
_BUSY_TIMEOUT_S = 30.0
# The words come separated by spaces, so whatever is no space belongs to a word.
_TOKENIZER = "unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Co'"
_SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE bases (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, generation INTEGER NOT NULL)",
    """CREATE TABLE documents (
        id INTEGER PRIMARY KEY AUTOINCREMENT, base INTEGER NOT NULL REFERENCES bases (id), identity TEXT NOT NULL,
        source TEXT NOT NULL, title TEXT NOT NULL, language TEXT NOT NULL, fingerprint TEXT NOT NULL,
        size_bytes INTEGER NOT NULL, modified_at_s REAL NOT NULL, added_at_s REAL NOT NULL, passages INTEGER NOT NULL,
        UNIQUE (base, identity)
    )""",
    # Ids are never given twice, so that a reader knows what is new by them.
    "INSERT INTO meta VALUES ('next_passage', '1')",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
_BASE_SCHEMA = (
    """CREATE TABLE passages_{base} (
        id INTEGER PRIMARY KEY, document INTEGER NOT NULL, heading TEXT NOT NULL, language TEXT NOT NULL,
        page INTEGER NOT NULL, url TEXT NOT NULL, text TEXT NOT NULL
    )""",
    # Also what tells quickly which passages there are.
    "CREATE INDEX passages_{base}_document ON passages_{base} (document)",
    "CREATE TABLE vectors_{base} (id INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
    f'CREATE VIRTUAL TABLE words_{{base}} USING fts5 (text, tokenize = "{_TOKENIZER}")',
    # fts5vocab would count a common word's passages anew each time.
    "CREATE TABLE frequencies_{base} (word TEXT PRIMARY KEY, passages INTEGER NOT NULL) WITHOUT ROWID",
)
BASE_TABLES = ("passages", "vectors", "words", "frequencies")


class SqliteFile:
    """Connections to the file. What goes wrong in `connection` is raised as a KnowledgeError in words."""

    def __init__(self, path: Path, embedder: tuple[str, int]) -> None:
        self.path = path
        self._embedder = embedder
        self._idle: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()

    def close(self) -> None:
        """Close the connections that no thread uses."""
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for this thread alone; after an error it is not used again."""
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
            raise KnowledgeError(_sentence(self.path, error)) from error

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # The first to come makes the tables; those who come at the same moment wait for it.
            with self.path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                return self._opened()
        except OSError as error:
            raise KnowledgeError(f"the index {self.path} cannot be opened: {error.strerror}") from error

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                with transaction(db, "IMMEDIATE"):
                    for statement in _SCHEMA:
                        db.execute(statement)
                    write_embedder(db, self._embedder)
            elif version != SCHEMA_VERSION:
                raise KnowledgeError(
                    f"the index {self.path} was made by another version of Fennel (its form is {version}, "
                    f"this one reads {SCHEMA_VERSION}): move it away and add the documents again"
                )
        except BaseException:
            db.close()
            raise
        return db


@contextmanager
def transaction(db: sqlite3.Connection, kind: str) -> Iterator[None]:
    """All or nothing. "DEFERRED" reads one state of the file, "IMMEDIATE" writes."""
    db.execute(f"BEGIN {kind}")
    try:
        yield
    except BaseException:
        db.rollback()
        raise
    db.execute("COMMIT")


def base_number(db: sqlite3.Connection, name: str) -> int | None:
    """The number of a base; None where it is not there."""
    row = db.execute("SELECT id FROM bases WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else None


def base_numbers(db: sqlite3.Connection) -> set[int]:
    """The numbers of all bases."""
    return {int(row[0]) for row in db.execute("SELECT id FROM bases")}


def make_base(db: sqlite3.Connection, name: str) -> int:
    """The number of a base, which is made where it is not there."""
    found = base_number(db, name)
    if found is not None:
        return found
    number = db.execute("INSERT INTO bases (name, generation) VALUES (?, 0)", (name,)).lastrowid
    for statement in _BASE_SCHEMA:
        db.execute(statement.format(base=number))
    return int(number or 0)


def meta(db: sqlite3.Connection, name: str) -> str:
    """A value of the table of single values."""
    return str(db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])


def write_meta(db: sqlite3.Connection, name: str, value: object) -> None:
    """Set a value of the table of single values."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, str(value)))


def write_embedder(db: sqlite3.Connection, embedder: tuple[str, int]) -> None:
    """Say whose vectors these are. `rebuilds` counts how often they were all made anew."""
    write_meta(db, "embedder", embedder[0])
    write_meta(db, "dimensions", embedder[1])
    row = db.execute("SELECT value FROM meta WHERE name = 'rebuilds'").fetchone()
    write_meta(db, "rebuilds", int(row[0]) + 1 if row else 0)


def _sentence(path: Path, error: sqlite3.DatabaseError) -> str:
    said = str(error)
    if "full" in said:
        return f"the index {path} cannot grow: the disk is full"
    if "locked" in said or "busy" in said:
        return f"another program has been writing to the index {path} for {_BUSY_TIMEOUT_S:.0f} s: try again later"
    if "readonly" in said or "unable to open" in said:
        return f"the index {path} cannot be written: {said}"
    return f"the index {path} is damaged ({said}): move it away and add the documents again"
