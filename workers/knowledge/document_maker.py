"""Documents made of files: read, parsed, cut, embedded and counted into words, some files at a time."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from config.secrets import mask_secrets
from workers.knowledge.document import Document, DocumentError
from workers.knowledge.draft import Draft, DraftDocument
from workers.knowledge.embedder import Embedder, Vectors
from workers.knowledge.folder import BYTES_A_MB, DocumentFile, FileContent, read_file
from workers.knowledge.masking import without_secrets
from workers.knowledge.parse import UNPACKED_TIMES, parse
from workers.knowledge.passage import SPLITTER_VERSION, Passage, split
from workers.knowledge.passage_context import in_context
from workers.knowledge.reader import Reading
from workers.knowledge.store import FileState, NewDocument
from workers.knowledge.words import language_of, terms

ParseFile = Callable[[str, bytes], Reading]
"""Reads a file of this name; raises DocumentError."""

_EMBEDDED_AT_ONCE = 16
_TICK_S = 2.0
"""A file that changed this short before it was read may change once more at the same time of its file system."""


@dataclass(frozen=True, slots=True)
class MadeDocument:
    """What became of a file. `note` says what of it was not read; where there is no document, why not."""

    file: DocumentFile
    document: NewDocument | None
    note: str


@dataclass(frozen=True, slots=True)
class _Cut:
    """A file in passages, which have no vectors yet unless they came out of the draft."""

    state: FileState
    fingerprint: str
    key: str
    draft: DraftDocument
    is_drafted: bool


class DocumentMaker:
    """Makes documents of files. May be used from many threads at once."""

    def __init__(
        self,
        embedder: Embedder,
        max_file_mb: int,
        passage_tokens: int,
        parse_file: ParseFile | None,
        draft: Draft | None,
    ) -> None:
        self._embedder = embedder
        self._max_file_mb = max_file_mb
        self._passage_tokens = passage_tokens
        self._parse = parse_file or self._parse_here
        self._draft = draft
        self._drafted: set[str] = set()

    def made_by(self, file: DocumentFile) -> str:
        """What besides its content makes a file's passages what they are: how its fingerprint begins."""
        rule = hashlib.sha256(file.url.encode()).hexdigest()[:8] if file.url else ""
        return f"{SPLITTER_VERSION}:{self._passage_tokens}:{rule}:"

    def look(self, file: DocumentFile) -> tuple[str, FileState]:
        """The fingerprint and the state of a file as it is now; raises DocumentError where it cannot be read."""
        read = read_file(file, self._max_file_mb)
        return self._fingerprint(file, read.content), _state(file, read)

    def make(self, files: Sequence[DocumentFile], given_up: threading.Event) -> list[MadeDocument]:
        """The files' documents, in order; none where the run is given up meanwhile, so that nobody waits for long.

        One step is done for all files before the next one: code that has just run is in the processor's caches, and
        an embedding throws everything out of them.
        """
        cuts = [self._cut_or_reason(file) for file in files]
        made: list[_Cut | str] = []
        for one in cuts:
            if given_up.is_set():
                return []
            made.append(one if isinstance(one, str) else self._embedded(one))
        return [
            MadeDocument(file, None, one) if isinstance(one, str) else self._finished(file, one)
            for file, one in zip(files, made, strict=True)
        ]

    def forget_drafts(self) -> None:
        """Drop the drafts of what was made: it is in the store."""
        if self._draft:
            self._draft.forget(self._drafted)

    # --- step by step

    def _cut_or_reason(self, file: DocumentFile) -> _Cut | str:
        try:
            return self._cut(file)
        except DocumentError as error:
            return str(error)

    def _cut(self, file: DocumentFile) -> _Cut:
        read = read_file(file, self._max_file_mb)
        fingerprint = self._fingerprint(file, read.content)
        # What it is made from and by; another file of the same content has another source.
        key = hashlib.sha256(f"{self._embedder.id}\n{file.source}\n{fingerprint}".encode()).hexdigest()
        self._drafted.add(key)
        drafted = self._draft.get(key) if self._draft else None
        draft = drafted or self._without_vectors(file, read.content)
        return _Cut(_state(file, read), fingerprint, key, draft, drafted is not None)

    def _without_vectors(self, file: DocumentFile, content: bytes) -> DraftDocument:
        reading = self._parse(file.path.name, content)
        sections, note = without_secrets(reading)
        text = "\n".join(block for section in sections for block in section.blocks)
        document = Document(file.source, mask_secrets(reading.title), language_of(text), sections, file.url)
        passages = tuple(split(document, self._passage_tokens, self._embedder.count_tokens))
        return DraftDocument(document.title, document.language, note, passages, np.empty((0, 0), np.float32))

    def _embedded(self, cut: _Cut) -> _Cut:
        if cut.is_drafted:
            return cut
        texts = [embedded_text(passage) for passage in cut.draft.passages]
        parts = [
            self._embedder.embed(texts[at : at + _EMBEDDED_AT_ONCE]) for at in range(0, len(texts), _EMBEDDED_AT_ONCE)
        ]
        vectors: Vectors = in_context(np.concatenate(parts))
        draft = replace(cut.draft, vectors=vectors)
        if self._draft:
            self._draft.put(cut.key, draft)
        return replace(cut, draft=draft)

    def _finished(self, file: DocumentFile, cut: _Cut) -> MadeDocument:
        draft = cut.draft
        words = [passage_terms(passage) for passage in draft.passages]
        document = NewDocument(
            file.identity,
            file.source,
            draft.title,
            draft.language,
            cut.fingerprint,
            draft.passages,
            words,
            draft.vectors,
            cut.state.size_bytes,
            cut.state.modified_at_s,
        )
        return MadeDocument(file, document, draft.note)

    def _fingerprint(self, file: DocumentFile, content: bytes) -> str:
        return f"{self.made_by(file)}{hashlib.sha256(content).hexdigest()}"

    def _parse_here(self, name: str, content: bytes) -> Reading:
        return parse(name, content, UNPACKED_TIMES * self._max_file_mb * BYTES_A_MB)


def embedded_text(passage: Passage) -> str:
    """What the vector of a passage is made of: without its headings, a passage rarely says what it is about."""
    return f"{passage.label}. {passage.text}"


def passage_terms(passage: Passage) -> list[str]:
    """What full-text search finds a passage by."""
    return terms(f"{passage.label}\n{passage.text}")


def _state(file: DocumentFile, read: FileContent) -> FileState:
    """The file's state; changed at 0 where that is so short ago that its content could still change unseen."""
    settled = time.time() - read.modified_at_s > _TICK_S
    return FileState(file.identity, read.size_bytes, read.modified_at_s if settled else 0.0)
