"""A change of the embedded store: prepared in a scratch database of the connection, then copied in one transaction."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain

from workers.knowledge.document import KnowledgeError
from workers.knowledge.embedder import Vectors
from workers.knowledge.store import NewDocument, document_fields
from workers.knowledge.stores.matrix import STORED
from workers.knowledge.stores.sqlite_file import meta, transaction, write_meta

_SCRATCH = (
    "ATTACH DATABASE '' AS scratch",  # on the disk, without a name, gone with the connection
    "PRAGMA scratch.journal_mode = OFF",
    "PRAGMA scratch.synchronous = OFF",
    """CREATE TABLE scratch.documents (
        first INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE, source TEXT, title TEXT, language TEXT,
        fingerprint TEXT, size_bytes INTEGER, modified_at_s REAL, passages INTEGER
    )""",
    """CREATE TABLE scratch.passages (
        id INTEGER PRIMARY KEY, heading TEXT, language TEXT, page INTEGER, url TEXT, text TEXT, vector BLOB, words TEXT
    )""",
)

_json = json.JSONEncoder(ensure_ascii=False).encode


@contextmanager
def scratch_database(db: sqlite3.Connection) -> Iterator[None]:
    """The connection with an empty scratch database, which goes with the block; after an error, with the connection."""
    for statement in _SCRATCH:
        db.execute(statement)
    yield
    db.execute("DETACH DATABASE scratch")


def prepare(db: sqlite3.Connection, put: Iterable[NewDocument], dimensions: int, words: Counter[str]) -> int:
    """Write the documents into the scratch database; counts their words; says how many passages they have."""
    first = 1
    with transaction(db, "DEFERRED"):  # of the scratch database alone
        for document in put:
            if document.vectors.shape != (len(document.passages), dimensions):
                raise ValueError(f"{document.source} has vectors of the shape {document.vectors.shape}")
            count = len(document.passages)
            words.update(chain.from_iterable(map(set, document.words)))
            db.executemany("INSERT INTO scratch.passages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _rows(document, first))
            db.execute(
                "INSERT INTO scratch.documents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (first, *document_fields(document), count),
            )
            # A document without passages takes a number too: `first` is its key.
            first += max(1, count)
    return first - 1


def replaced_documents(db: sqlite3.Connection) -> list[str]:
    """The identities of the documents that are prepared."""
    return [row[0] for row in db.execute("SELECT identity FROM scratch.documents")]


def prepare_vectors(db: sqlite3.Connection, numbers: Iterable[int], vectors: Iterable[Vectors]) -> None:
    """Write the vectors of these passages into the scratch database."""
    rows = [(number, _blob(vector)) for number, vector in zip(numbers, vectors, strict=True)]
    db.executemany("INSERT INTO scratch.passages (id, vector) VALUES (?, ?)", rows)


def delete(db: sqlite3.Connection, number: int, identities: Collection[str], words: Counter[str]) -> int:
    """Delete these documents where they are there, and take their words off the count."""
    deleted = 0
    for identity in identities:
        row = db.execute("SELECT id FROM documents WHERE base = ? AND identity = ?", (number, identity)).fetchone()
        if row is None:
            continue
        inside = f"IN (SELECT id FROM passages_{number} WHERE document = ?)"  # noqa: S608
        for (text,) in db.execute(f"SELECT text FROM words_{number} WHERE rowid {inside}", row):  # noqa: S608
            words.subtract(set(text.split(" ")) - {""})
        db.execute(f"DELETE FROM words_{number} WHERE rowid {inside}", row)  # noqa: S608
        db.execute(f"DELETE FROM vectors_{number} WHERE id {inside}", row)  # noqa: S608
        db.execute(f"DELETE FROM passages_{number} WHERE document = ?", row)  # noqa: S608
        db.execute("DELETE FROM documents WHERE id = ?", row)
        deleted += 1
    return deleted


def publish(db: sqlite3.Connection, number: int) -> None:
    """Copy what is in the scratch database to where it is found."""
    offset = int(meta(db, "next_passage")) - 1
    last = db.execute("SELECT coalesce(max(id), 0) FROM scratch.passages").fetchone()[0]
    now_s = time.time()
    for first, count, *fields in db.execute(
        "SELECT first, passages, identity, source, title, language, fingerprint, size_bytes, modified_at_s "
        "FROM scratch.documents ORDER BY first"
    ).fetchall():
        document = db.execute(
            "INSERT INTO documents (base, identity, source, title, language, fingerprint, size_bytes, modified_at_s, "
            "added_at_s, passages) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (number, *fields, now_s, count),
        ).lastrowid
        db.execute(
            f"INSERT INTO passages_{number} SELECT id + ?, ?, heading, language, page, url, text "  # noqa: S608
            "FROM scratch.passages WHERE id BETWEEN ? AND ?",
            (offset, document, first, first + count - 1),
        )
    db.execute(f"INSERT INTO vectors_{number} SELECT id + ?, vector FROM scratch.passages", (offset,))  # noqa: S608
    db.execute(
        f"INSERT INTO words_{number} (rowid, text) SELECT id + ?, words FROM scratch.passages",  # noqa: S608
        (offset,),
    )
    write_meta(db, "next_passage", offset + last + 1)


def count_words(db: sqlite3.Connection, number: int, words: Counter[str]) -> None:
    """Bring the count of passages that each word stands in up to date."""
    changed = [(word, change) for word, change in words.items() if change]
    db.executemany(
        f"INSERT INTO frequencies_{number} VALUES (?, ?) "  # noqa: S608
        "ON CONFLICT (word) DO UPDATE SET passages = passages + excluded.passages",
        changed,
    )
    gone = [(word,) for word, change in changed if change < 0]
    db.executemany(f"DELETE FROM frequencies_{number} WHERE word = ? AND passages <= 0", gone)  # noqa: S608


def replace_vectors(db: sqlite3.Connection, number: int) -> None:
    """Copy the prepared vectors of a base. Raises KnowledgeError where one is missing."""
    db.execute(f"DELETE FROM vectors_{number}")  # noqa: S608
    missing = db.execute(
        f"SELECT count(*) FROM passages_{number} WHERE id NOT IN (SELECT id FROM scratch.passages)"  # noqa: S608
    ).fetchone()[0]
    if missing:
        raise KnowledgeError(f"{missing} passages were added meanwhile: run it again")
    db.execute(
        f"INSERT INTO vectors_{number} SELECT id, vector FROM scratch.passages "  # noqa: S608
        f"WHERE id IN (SELECT id FROM passages_{number})"
    )


def _rows(document: NewDocument, first: int) -> Iterator[tuple[object, ...]]:
    for number, (one, words, vector) in enumerate(
        zip(document.passages, document.words, document.vectors, strict=True), first
    ):
        yield number, _json(one.heading), one.language, one.page, one.url, one.text, _blob(vector), " ".join(words)


def _blob(vector: Vectors) -> bytes:
    return vector.astype(STORED).tobytes()
