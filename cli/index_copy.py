"""A copy of the knowledge base's file while others read and write it, by SQLite's online backup."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from cli.archive import ArchiveError
from workers.knowledge.stores.sqlite_file import SCHEMA_VERSION

PAGES_AT_ONCE = 1024
BUSY_TIMEOUT_S = 30.0


def copy_index(source: Path, target: Path, progress: Callable[[int], None]) -> int:
    """Copy it as it is now; returns the number of its form. `progress` is told of bytes. Raises ArchiveError."""
    size_bytes, done = source.stat().st_size, 0

    def tell(_status: int, pages_left: int, pages: int) -> None:
        nonlocal done
        now = round(size_bytes * (pages - pages_left) / max(1, pages))
        progress(now - done)
        done = now

    try:
        with (
            closing(_connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as db,
            closing(_connect(str(target))) as copy,
        ):
            # One state for all pages: without it the copy begins anew whenever somebody writes.
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            db.backup(copy, pages=PAGES_AT_ONCE, progress=tell)
            db.rollback()
            # One file without a log beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
            return int(copy.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.Error as error:
        raise ArchiveError(f"the knowledge base {source} cannot be copied: {error}") from error


def check_index(path: Path) -> int:
    """Look whether the file is whole and of a form that is read here; returns its documents. Raises ArchiveError."""
    try:
        with closing(_connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            said = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if said != "ok":
                raise ArchiveError(f"the knowledge base in the archive is damaged: {said}")
            form = int(db.execute("PRAGMA user_version").fetchone()[0])
            if form > SCHEMA_VERSION:
                raise ArchiveError(
                    f"the knowledge base in the archive is of a newer Fennel (its form is {form}, this one reads "
                    f"{SCHEMA_VERSION}): restore it with that version"
                )
            return int(db.execute("SELECT count(*) FROM documents").fetchone()[0])
    except sqlite3.Error as error:
        raise ArchiveError(f"the knowledge base in the archive cannot be read: {error}") from error


def _connect(where: str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(where, uri=uri, timeout=BUSY_TIMEOUT_S, isolation_level=None)
