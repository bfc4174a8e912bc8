"""The store on a PostgreSQL server with pgvector: for many hosts that search the same knowledge.

The vectors stay on the server, which compares them exactly. A change is copied into tables of the session first, and
from there in one transaction; a search reads in one transaction that sees one state.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool, PoolTimeout

from workers.knowledge.base import check_base_name
from workers.knowledge.document import KnowledgeError
from workers.knowledge.passage import Passage
from workers.knowledge.store import (
    Embed,
    FileState,
    NewDocument,
    Snapshot,
    Store,
    StoredBase,
    StoredDocument,
    document_fields,
    embedder_mismatch,
)
from workers.knowledge.stores.postgres_schema import READ_PASSAGES, SCHEMA, SCHEMA_VERSION, SCRATCH
from workers.knowledge.stores.postgres_snapshot import PostgresSnapshot, passage_of, vector_text

_CONNECT_TIMEOUT_S = 10.0
_MOST_CONNECTIONS = 16
_LOCK = 0x46656E6E  # of writers, among each other


class PostgresStore(Store):
    """Knowledge bases in the schema `fennel` of a database, whose server must answer within `timeout_s`."""

    def __init__(self, url: str, embedder_id: str, dimensions: int, *, timeout_s: float = _CONNECT_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._embedder = (embedder_id, dimensions)
        try:
            named = conninfo_to_dict(url)
        except psycopg.Error as error:
            raise KnowledgeError("knowledge.postgres_url is no address of a PostgreSQL database") from error
        self.place = f"{named.get('dbname') or 'database'} on {named.get('host') or 'localhost'}"
        self._pool: ConnectionPool[Connection[Any]] = ConnectionPool(
            url,
            min_size=0,
            max_size=_MOST_CONNECTIONS,
            open=False,
            timeout=timeout_s,
            reconnect_timeout=timeout_s / 2,
            kwargs={"autocommit": True, "connect_timeout": max(1, int(timeout_s))},
            configure=self._prepare_database,
            check=ConnectionPool.check_connection,
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    # --- reading

    def bases(self) -> list[StoredBase]:
        """Every knowledge base, by name."""
        with self._connection() as db:
            found = db.execute(
                "SELECT b.name, count(d.id), coalesce(sum(d.passages), 0)::bigint, b.generation FROM fennel.bases b "
                'LEFT JOIN fennel.documents d ON d.base = b.id GROUP BY b.id ORDER BY b.name COLLATE "C"'
            )
            return [StoredBase(*row) for row in found]

    def documents(self, base: str) -> list[StoredDocument]:
        """Every document of a base, by source."""
        with self._connection() as db:
            found = db.execute(
                "SELECT d.identity, d.source, d.title, d.language, d.fingerprint, d.size_bytes, d.modified_at_s, "
                "d.added_at_s, d.passages FROM fennel.documents d JOIN fennel.bases b ON b.id = d.base "
                'WHERE b.name = %s ORDER BY d.source COLLATE "C", d.identity COLLATE "C"',
                (base,),
            )
            return [StoredDocument(*row) for row in found]

    def passages_of(self, base: str, identity: str) -> list[Passage]:
        """The passages of a document, in order."""
        with self._connection() as db:
            found = db.execute(
                f"{READ_PASSAGES} JOIN fennel.bases b ON b.id = d.base WHERE b.name = %s AND d.identity = %s "
                "ORDER BY p.id",
                (base, identity),
            )
            return [passage_of(row) for row in found]

    @contextmanager
    def snapshot(self, bases: Collection[str]) -> Iterator[Snapshot]:
        """These bases as they are now."""
        with self._connection() as db, db.transaction():
            db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._check_embedder(db)
            numbers = [row[0] for row in db.execute("SELECT id FROM fennel.bases WHERE name = ANY(%s)", (list(bases),))]
            yield PostgresSnapshot(db, numbers)

    def check_embedder(self) -> None:
        """Raise KnowledgeError where the vectors are another embedder's."""
        with self._connection() as db:
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
        """Change a base in one step: first into tables of the session, then from there in one transaction."""
        check_base_name(base)
        with self._connection() as db, _scratch(db):
            self._check_embedder(db)
            words: Counter[str] = Counter()
            self._prepare(db, put, words)
            with db.transaction():
                db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                self._check_embedder(db)
                number = _make_base(db, base)
                replaced = [row[0] for row in db.execute("SELECT identity FROM scratch_documents")]
                removed = _delete(db, number, {*remove, *replaced}, words)
                _publish(db, number)
                _count_words(db, number, words)
                for one in touch:
                    db.execute(
                        "UPDATE fennel.documents SET size_bytes = %s, modified_at_s = %s "
                        "WHERE base = %s AND identity = %s",
                        (one.size_bytes, one.modified_at_s, number, one.identity),
                    )
                if removed or replaced:
                    db.execute("UPDATE fennel.bases SET generation = generation + 1 WHERE id = %s", (number,))

    def remove_base(self, base: str) -> bool:
        """Remove a base with all that is in it."""
        with self._connection() as db:
            return db.execute("DELETE FROM fennel.bases WHERE name = %s", (base,)).rowcount > 0

    def rebuild(self, embed: Embed, progress: Callable[[int, int], None]) -> int:
        """Make every vector anew; what is searched meanwhile is the old ones."""
        with self._connection() as db, self._connection() as reading, _scratch(db):
            (whole,) = _row(db, "SELECT count(*) FROM fennel.passages")
            done = 0
            with reading.transaction(), reading.cursor(name="passages") as rows:
                rows.execute(f"{READ_PASSAGES} ORDER BY p.id")
                for _, document in groupby(rows, key=lambda row: row[-1]):
                    passages = [passage_of(row) for row in document]
                    values = [
                        (one.id, vector_text(vector)) for one, vector in zip(passages, embed(passages), strict=True)
                    ]
                    with db.cursor() as cursor:
                        cursor.executemany("INSERT INTO scratch_passages (id, vector) VALUES (%s, %s)", values)
                    done += len(values)
                    progress(done, whole)
            with db.transaction():
                db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                (missing,) = _row(
                    db, "SELECT count(*) FROM fennel.passages WHERE id NOT IN (SELECT id FROM scratch_passages)"
                )
                if missing:
                    raise KnowledgeError(f"{missing} passages were added meanwhile: run it again")
                db.execute("UPDATE fennel.passages p SET vector = s.vector FROM scratch_passages s WHERE s.id = p.id")
                db.execute("UPDATE fennel.embedder SET name = %s, dimensions = %s", self._embedder)
                db.execute("UPDATE fennel.bases SET generation = generation + 1")
            return done

    # --- the inside

    @contextmanager
    def _connection(self) -> Iterator[Connection[Any]]:
        try:
            self._pool.open()
            with self._pool.connection() as db:
                yield db
        except PoolTimeout as error:
            raise KnowledgeError(
                f"the index {self.place} did not answer for {self._timeout_s:.0f} s: is the server running, "
                "and knowledge.postgres_url right?"
            ) from error
        except psycopg.Error as error:
            said = str(error).strip().split("\n")[0]
            raise KnowledgeError(f"the index {self.place} cannot be used: {said}") from error

    def _prepare_database(self, db: Connection[Any]) -> None:
        """Make the tables where they are not there; called for each new connection."""
        with db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            if _row(db, "SELECT to_regclass('fennel.embedder') IS NULL")[0]:
                for statement in SCHEMA:
                    db.execute(statement)
                db.execute("INSERT INTO fennel.embedder VALUES (%s, %s, %s, 1)", (*self._embedder, SCHEMA_VERSION))

    def _check_embedder(self, db: Connection[Any]) -> None:
        name, dimensions, version = _row(db, "SELECT name, dimensions, version FROM fennel.embedder")
        if version != SCHEMA_VERSION:
            raise KnowledgeError(
                f"the index {self.place} was made by another version of Fennel (its form is {version}, this one reads "
                f"{SCHEMA_VERSION}): drop the schema fennel and add the documents again"
            )
        if (name, dimensions) != self._embedder:
            raise embedder_mismatch(self.place, (name, dimensions), self._embedder)

    def _prepare(self, db: Connection[Any], put: Iterable[NewDocument], words: Counter[str]) -> None:
        """Copy the documents into the session's tables, and count their words."""
        first = 1
        for document in put:
            count = len(document.passages)
            if document.vectors.shape != (count, self._embedder[1]):
                raise ValueError(f"{document.source} has vectors of the shape {document.vectors.shape}")
            with db.cursor() as cursor, cursor.copy("COPY scratch_passages FROM STDIN") as copy:
                for number, (one, said, vector) in enumerate(
                    zip(document.passages, document.words, document.vectors, strict=True), first
                ):
                    words.update(set(said))
                    heading = json.dumps(one.heading, ensure_ascii=False)
                    fields = (number, heading, one.language, one.page, one.url, one.text, list(said))
                    copy.write_row((*fields, vector_text(vector)))
            db.execute(
                "INSERT INTO scratch_documents VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (first, *document_fields(document), count),
            )
            first += max(1, count)


@contextmanager
def _scratch(db: Connection[Any]) -> Iterator[None]:
    """The session's tables, empty, and gone afterwards."""
    for statement in SCRATCH:
        db.execute(statement)
    try:
        yield
    finally:
        if not db.broken:
            db.execute("DROP TABLE scratch_documents, scratch_passages")


def _row(db: Connection[Any], query: str) -> Any:
    return db.execute(query).fetchone()


def _make_base(db: Connection[Any], name: str) -> int:
    db.execute("INSERT INTO fennel.bases (name, generation) VALUES (%s, 0) ON CONFLICT DO NOTHING", (name,))
    row: Any = db.execute("SELECT id FROM fennel.bases WHERE name = %s", (name,)).fetchone()
    return int(row[0])


def _delete(db: Connection[Any], number: int, identities: Collection[str], words: Counter[str]) -> int:
    """Delete these documents where they are there, and take their words off the count."""
    wanted = (number, list(identities))
    inside = "(SELECT id FROM fennel.documents WHERE base = %s AND identity = ANY(%s))"
    for (said,) in db.execute(f"SELECT words FROM fennel.passages WHERE document IN {inside}", wanted):  # noqa: S608
        words.subtract(set(said))
    # Their passages go with them.
    return db.execute("DELETE FROM fennel.documents WHERE base = %s AND identity = ANY(%s)", wanted).rowcount


def _publish(db: Connection[Any], number: int) -> None:
    """Copy what is in the session's tables to where it is found."""
    (next_passage,) = _row(db, "SELECT next_passage FROM fennel.embedder FOR UPDATE")
    (last,) = _row(db, "SELECT coalesce(max(id), 0) FROM scratch_passages")
    db.execute(
        "INSERT INTO fennel.documents (base, identity, source, title, language, fingerprint, size_bytes, "
        "modified_at_s, added_at_s, passages) SELECT %s, identity, source, title, language, fingerprint, size_bytes, "
        "modified_at_s, %s, passages FROM scratch_documents ORDER BY first",
        (number, time.time()),
    )
    db.execute(
        "INSERT INTO fennel.passages (id, base, document, heading, language, page, url, text, words, vector) "
        "SELECT p.id + %s, %s, d.id, p.heading, p.language, p.page, p.url, p.text, p.words, p.vector "
        "FROM scratch_documents s JOIN fennel.documents d ON d.base = %s AND d.identity = s.identity "
        "JOIN scratch_passages p ON p.id >= s.first AND p.id < s.first + s.passages",
        (next_passage - 1, number, number),
    )
    db.execute("UPDATE fennel.embedder SET next_passage = %s", (next_passage + last,))


def _count_words(db: Connection[Any], number: int, words: Counter[str]) -> None:
    changed = {word: change for word, change in words.items() if change}
    db.execute(
        "INSERT INTO fennel.frequencies AS f SELECT %s, word, passages FROM unnest(%s::text[], %s::bigint[]) "
        "AS w (word, passages) ON CONFLICT (base, word) DO UPDATE SET passages = f.passages + excluded.passages",
        (number, list(changed), list(changed.values())),
    )
    db.execute("DELETE FROM fennel.frequencies WHERE base = %s AND passages <= 0", (number,))
