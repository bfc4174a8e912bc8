"""A draft: what an unfinished `add` or `sync` has made of files, so that the next try need not make it again.

Nothing in it is found by a search: the store takes all documents of a run in one step, at its end. What stood in the
draft for them goes then. A draft that cannot be read is thrown away: it saves work, and holds nothing else.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workers.knowledge.embedder import Vectors
from workers.knowledge.passage import Passage
from workers.knowledge.stores.sqlite_file import transaction
from workers.knowledge.words import Language

_KEPT_S = 30 * 24 * 3600.0  # what nobody came back for
_BUSY_TIMEOUT_S = 30.0
_WRITTEN_EVERY_S = 0.25
"""How much work a kill may cost. A transaction for each document took as long as reading its file."""
_STORED = np.dtype("<f4")
_SCHEMA = """CREATE TABLE IF NOT EXISTS drafts (
    key TEXT PRIMARY KEY, title TEXT NOT NULL, language TEXT NOT NULL, note TEXT NOT NULL, passages TEXT NOT NULL,
    vectors BLOB NOT NULL, made_at_s REAL NOT NULL
)"""

_Row = tuple[str, str, str, str, str, bytes, float]
"""In the order of the table's columns."""


@dataclass(frozen=True, slots=True)
class DraftDocument:
    """What reading, cutting and embedding made of a file. `note` says what of it was not read."""

    title: str
    language: Language
    note: str
    passages: tuple[Passage, ...]
    vectors: Vectors


class Draft:
    """Drafts in a file of their own. May be used from many threads, and by several programs at once.

    A key says what a document is made from and by: a file's content, the embedder, the way of cutting.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._held: dict[str, _Row] = {}
        self._written_s = time.monotonic()

    def get(self, key: str) -> DraftDocument | None:
        """What was made under this key; None where nothing was."""
        with self._lock:
            row = self._held.get(key) or self._read(key)
        if row is None:
            return None
        _, title, language, note, said, blob, _ = row
        passages = tuple(
            Passage(0, source, title, tuple(heading), *rest) for source, heading, *rest in json.loads(said)
        )
        vectors = np.frombuffer(blob, _STORED).astype(np.float32).reshape(len(passages), -1)
        return DraftDocument(title, "zh" if language == "zh" else "en", note, passages, vectors)

    def put(self, key: str, document: DraftDocument) -> None:
        """Keep what was made; it comes onto the disk with the next one after a quarter of a second."""
        said = json.dumps(
            [(one.source, one.heading, one.language, one.text, one.page, one.url) for one in document.passages],
            ensure_ascii=False,
        )
        blob = document.vectors.astype(_STORED).tobytes()
        row = (key, document.title, document.language, document.note, said, blob, time.time())
        with self._lock:
            self._held[key] = row
            if time.monotonic() - self._written_s >= _WRITTEN_EVERY_S:
                self._write()

    def forget(self, keys: Collection[str]) -> None:
        """Drop what has arrived in the store, and what is old."""
        with self._lock:
            for key in keys:
                self._held.pop(key, None)
            if self._held or self._db is not None or self._file.exists():
                self._write(keys)

    def close(self) -> None:
        """Write what is held, and close the file."""
        with self._lock:
            if self._held:
                self._write()
            if self._db is not None:
                self._db.close()
            self._db = None

    def _read(self, key: str) -> _Row | None:
        if self._db is None and not self._file.exists():
            return None
        try:
            found: _Row | None = self._opened().execute("SELECT * FROM drafts WHERE key = ?", (key,)).fetchone()
        except sqlite3.DatabaseError:
            self._throw_away()
            return None
        return found

    def _write(self, done: Collection[str] | None = None) -> None:
        """Write what is held, in one transaction; at the end of a run drop what is done, and what is old."""
        rows, self._held = [*self._held.values()], {}
        self._written_s = time.monotonic()
        try:
            db = self._opened()
            with transaction(db, "IMMEDIATE"):
                db.executemany("INSERT OR REPLACE INTO drafts VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
                if done is not None:
                    db.executemany("DELETE FROM drafts WHERE key = ?", [(key,) for key in done])
                    db.execute("DELETE FROM drafts WHERE made_at_s < ?", (time.time() - _KEPT_S,))
        except sqlite3.DatabaseError:
            self._throw_away()

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                self._file, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA auto_vacuum = FULL")  # an empty draft takes no room
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(_SCHEMA)
        return self._db

    def _throw_away(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db = None
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
