"""Ingest: files become passages in the index; a file that has not changed costs the reading of its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.document import Document, DocumentError
from workers.knowledge.embedder import Embedder
from workers.knowledge.folder import BYTES_A_MB, DocumentFile, find_files, read_file
from workers.knowledge.parse import UNPACKED_TIMES, parse
from workers.knowledge.passage import SPLITTER_VERSION, Passage, split
from workers.knowledge.store import NewDocument, Store
from workers.knowledge.words import language_of, terms


class FileStatus(StrEnum):
    """What became of a file."""

    ADDED = "added"
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FileResult:
    """A row of the table that `fennel kb add` ends with; `reason` says why a file failed."""

    source: str
    status: FileStatus
    passages: int = 0
    reason: str = ""


class Ingest:
    """Adds files to a knowledge base, each in one step: whoever reads sees it whole or not at all."""

    def __init__(
        self, store: Store, embedder: Embedder, *, max_file_mb: int, passage_tokens: int, base: str = DEFAULT_BASE
    ) -> None:
        self._store = store
        self._base = base
        self._known = {one.identity: one.fingerprint for one in store.documents(base)}
        self._embedder = embedder
        self._max_file_mb = max_file_mb
        self._passage_tokens = passage_tokens

    def add(self, file: DocumentFile) -> FileResult:
        """Add a file, or take it anew where it has changed. Raises KnowledgeError where the index is at fault."""
        try:
            content = read_file(file, self._max_file_mb).content
            fingerprint = self._fingerprint(content)
            known = self._known.get(file.identity)
            if known == fingerprint:
                return FileResult(file.source, FileStatus.UNCHANGED)
            reading = parse(file.path.name, content, UNPACKED_TIMES * self._max_file_mb * BYTES_A_MB)
        except DocumentError as error:
            return FileResult(file.source, FileStatus.FAILED, reason=str(error))
        text = "\n".join(block for section in reading.sections for block in section.blocks)
        document = Document(file.source, reading.title, language_of(text), reading.sections)
        passages = list(split(document, self._passage_tokens))
        vectors = self._embedder.embed([embedded_text(passage) for passage in passages])
        words = [passage_terms(passage) for passage in passages]
        new = NewDocument(
            file.identity, file.source, document.title, document.language, fingerprint, passages, words, vectors
        )
        self._store.apply(self._base, [new])
        self._known[file.identity] = fingerprint
        status = FileStatus.ADDED if known is None else FileStatus.CHANGED
        return FileResult(file.source, status, passages=len(passages))

    def _fingerprint(self, content: bytes) -> str:
        # Passages cut in another way are another content.
        return f"{SPLITTER_VERSION}:{self._passage_tokens}:{hashlib.sha256(content).hexdigest()}"


def files_below(paths: Sequence[Path]) -> list[DocumentFile]:
    """The files of all paths, each once, in the order of the paths."""
    found = {file.identity: file for path in reversed(paths) for file in reversed(list(find_files(path)))}
    return list(reversed(found.values()))


def rebuild(store: Store, embedder: Embedder, progress: Callable[[int, int], None]) -> int:
    """Make all vectors anew with this embedder; tells `progress(done, all)`; says how many passages there are."""
    return store.rebuild(lambda some: embedder.embed([embedded_text(passage) for passage in some]), progress)


def embedded_text(passage: Passage) -> str:
    """What the vector of a passage is made of: without its headings, a passage rarely says what it is about."""
    return f"{passage.label}. {passage.text}"


def passage_terms(passage: Passage) -> list[str]:
    """What full-text search finds a passage by."""
    return terms(f"{passage.label}\n{passage.text}")
