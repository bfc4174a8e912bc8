"""The tables of the store on PostgreSQL."""

from __future__ import annotations

SCHEMA_VERSION = 1
SCHEMA = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    "CREATE SCHEMA fennel",
    # One row: whose vectors these are, and the number of the next passage, which is never given twice.
    """CREATE TABLE fennel.embedder (
        name text NOT NULL, dimensions integer NOT NULL, version integer NOT NULL, next_passage bigint NOT NULL
    )""",
    """CREATE TABLE fennel.bases (
        id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text NOT NULL UNIQUE, generation bigint NOT NULL
    )""",
    """CREATE TABLE fennel.documents (
        id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
        base integer NOT NULL REFERENCES fennel.bases ON DELETE CASCADE, identity text NOT NULL, source text NOT NULL,
        title text NOT NULL, language text NOT NULL, fingerprint text NOT NULL, size_bytes bigint NOT NULL,
        modified_at_s double precision NOT NULL, added_at_s double precision NOT NULL, passages integer NOT NULL,
        UNIQUE (base, identity)
    )""",
    # The vectors have no fixed length, so that a rebuild can bring another.
    """CREATE TABLE fennel.passages (
        id bigint PRIMARY KEY, base integer NOT NULL,
        document bigint NOT NULL REFERENCES fennel.documents ON DELETE CASCADE, heading text NOT NULL,
        language text NOT NULL, page integer NOT NULL, url text NOT NULL, text text NOT NULL, words text[] NOT NULL,
        vector vector NOT NULL
    )""",
    "CREATE INDEX ON fennel.passages (document)",
    "CREATE INDEX ON fennel.passages (base)",
    "CREATE INDEX ON fennel.passages USING gin (words)",
    """CREATE TABLE fennel.frequencies (
        base integer NOT NULL REFERENCES fennel.bases ON DELETE CASCADE, word text NOT NULL, passages bigint NOT NULL,
        PRIMARY KEY (base, word)
    )""",
)
SCRATCH = (
    "DROP TABLE IF EXISTS pg_temp.scratch_documents, pg_temp.scratch_passages",
    """CREATE TEMPORARY TABLE scratch_documents (
        first bigint PRIMARY KEY, identity text NOT NULL UNIQUE, source text, title text, language text,
        fingerprint text, size_bytes bigint, modified_at_s double precision, passages integer
    )""",
    """CREATE TEMPORARY TABLE scratch_passages (
        id bigint PRIMARY KEY, heading text, language text, page integer, url text, text text, words text[],
        vector vector
    )""",
)
READ_PASSAGES = (
    "SELECT p.id, d.source, d.title, p.heading, p.language, p.text, p.page, p.url, p.document "
    "FROM fennel.passages p JOIN fennel.documents d ON d.id = p.document "
)
