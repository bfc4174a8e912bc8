"""Ingest: files become passages in a knowledge base, on all cores, in one step for all of them.

What a file costs depends on what is known of it: nothing but a look where its size and time are those that are known,
reading where only its time is another, parsing and embedding where its content is.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from config.secrets import mask_secrets
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.document import Document, DocumentError, KnowledgeError
from workers.knowledge.draft import Draft, DraftDocument
from workers.knowledge.embedder import Embedder, Vectors
from workers.knowledge.folder import BYTES_A_MB, DocumentFile, FileContent, file_state, read_file
from workers.knowledge.masking import without_secrets
from workers.knowledge.parse import UNPACKED_TIMES, parse
from workers.knowledge.passage import SPLITTER_VERSION, Passage, split
from workers.knowledge.passage_context import in_context
from workers.knowledge.reader import Reading
from workers.knowledge.store import FileState, NewDocument, Store, StoredDocument
from workers.knowledge.words import language_of, terms

ParseFile = Callable[[str, bytes], Reading]
"""Reads a file of this name; raises DocumentError."""

_EMBEDDED_AT_ONCE = 16
_IN_HAND_A_THREAD = 4
_TICK_S = 2.0
"""A file that changed this short before it was read may change once more at the same time of its file system."""


class FileStatus(StrEnum):
    """What became of a file."""

    ADDED = "added"
    UNCHANGED = "unchanged"
    CHANGED = "changed"
    REMOVED = "removed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class FileResult:
    """A row of the table that `fennel kb add` ends with.

    `reason` says why a file failed, or what of it was not read.
    """

    source: str
    status: FileStatus
    passages: int = 0
    reason: str = ""


class Ingest:
    """Adds files to a knowledge base. `parse_file` is the parsing pool's where the files may be strangers'.

    `draft` keeps what was made of the files until all of them are in the store, so that a run after one that was
    interrupted goes on there. `threads` is how many files are worked on at a time; by default one for each core.
    """

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        *,
        max_file_mb: int,
        passage_tokens: int,
        base: str = DEFAULT_BASE,
        parse_file: ParseFile | None = None,
        draft: Draft | None = None,
        threads: int = 0,
    ) -> None:
        self._store = store
        self._base = base
        self._embedder = embedder
        self._max_file_mb = max_file_mb
        self._passage_tokens = passage_tokens
        self._parse = parse_file or self._parse_here
        self._draft = draft
        self._drafted: set[str] = set()
        self._threads = threads or len(os.sched_getaffinity(0))

    def add(self, file: DocumentFile) -> FileResult:
        """Add a file, or take it anew where it has changed. Raises KnowledgeError where the store is at fault."""
        (result,) = self.add_all([file])
        return result

    def add_all(
        self,
        files: Sequence[DocumentFile],
        *,
        remove_others_below: str = "",
        on_result: Callable[[FileResult], object] = lambda _: None,
    ) -> list[FileResult]:
        """Add files in one step: whoever searches sees all of them or none. Tells `on_result` of each as it is done.

        With `remove_others_below`, a document goes whose identity begins with it and that is not among the files.
        Raises KnowledgeError where the store is at fault, and changes nothing then.
        """
        known = {one.identity: one for one in self._store.documents(self._base)}
        results: list[FileResult] = []

        def tell(result: FileResult) -> None:
            results.append(result)
            on_result(result)

        wanted: list[DocumentFile] = []
        touched: list[FileState] = []
        for file in files:
            outcome = self._look(file, known.get(file.identity))
            if isinstance(outcome, FileResult):
                tell(outcome)
            elif isinstance(outcome, FileState):
                touched.append(outcome)
                tell(FileResult(file.source, FileStatus.UNCHANGED))
            else:
                wanted.append(file)
        gone = _gone(known, files, remove_others_below)
        if gone and not files:
            # A disk that is not there is an empty folder.
            raise KnowledgeError(
                f"{remove_others_below} holds no document any more, so nothing was removed: "
                f"is it there? `fennel kb remove` removes what was in it"
            )
        if wanted or touched or gone:
            self._store.check_embedder()
            put = self._documents(wanted, known, tell)
            self._store.apply(self._base, put, remove=[one.identity for one in gone], touch=touched)
            if self._draft:
                self._draft.forget(self._drafted)
        for one in gone:
            tell(FileResult(one.source, FileStatus.REMOVED))
        return results

    # --- what is to be done

    def _look(self, file: DocumentFile, known: StoredDocument | None) -> FileResult | FileState | None:
        """Look at a file that may be known: its result, its new state where only that has changed, else None."""
        if known is None or not known.fingerprint.startswith(self._made_by(file)):
            return None
        try:
            if (known.size_bytes, known.modified_at_s) == file_state(file):
                return FileResult(file.source, FileStatus.UNCHANGED)
            read = read_file(file, self._max_file_mb)
        except DocumentError as error:
            return FileResult(file.source, FileStatus.FAILED, reason=str(error))
        if known.fingerprint == self._fingerprint(file, read.content):
            return FileState(file.identity, read.size_bytes, _settled(read))
        return None

    def _made_by(self, file: DocumentFile) -> str:
        """What besides its content makes a file's passages what they are."""
        rule = hashlib.sha256(file.url.encode()).hexdigest()[:8] if file.url else ""
        return f"{SPLITTER_VERSION}:{self._passage_tokens}:{rule}:"

    def _fingerprint(self, file: DocumentFile, content: bytes) -> str:
        return f"{self._made_by(file)}{hashlib.sha256(content).hexdigest()}"

    # --- doing it

    def _documents(
        self, files: Sequence[DocumentFile], known: dict[str, StoredDocument], tell: Callable[[FileResult], None]
    ) -> Iterator[NewDocument]:
        """The documents in the files, made on several threads, in the order in which they are done."""
        waiting = iter(files)
        with _executor(self._threads) as executor:
            in_hand: dict[Future[tuple[NewDocument, str]], DocumentFile] = {}
            while True:
                for file in waiting:
                    in_hand[executor.submit(self._document, file)] = file
                    if len(in_hand) >= _IN_HAND_A_THREAD * self._threads:
                        break
                if not in_hand:
                    return
                for future in wait(in_hand, return_when=FIRST_COMPLETED).done:
                    file = in_hand.pop(future)
                    try:
                        document, note = future.result()
                    except DocumentError as error:
                        tell(FileResult(file.source, FileStatus.FAILED, reason=str(error)))
                        continue
                    yield document
                    status = FileStatus.CHANGED if file.identity in known else FileStatus.ADDED
                    tell(FileResult(file.source, status, len(document.passages), note))

    def _document(self, file: DocumentFile) -> tuple[NewDocument, str]:
        """Read, parse, cut and embed a file; with a note of what of it was not read."""
        read = read_file(file, self._max_file_mb)
        fingerprint = self._fingerprint(file, read.content)
        key = self._draft_key(file, fingerprint)
        self._drafted.add(key)
        made = self._draft.get(key) if self._draft else None
        if made is None:
            made = self._make(file, read.content)
            if self._draft:
                self._draft.put(key, made)
        new = NewDocument(
            file.identity,
            file.source,
            made.title,
            made.language,
            fingerprint,
            made.passages,
            [passage_terms(passage) for passage in made.passages],
            made.vectors,
            read.size_bytes,
            _settled(read),
        )
        return new, made.note

    def _make(self, file: DocumentFile, content: bytes) -> DraftDocument:
        reading = self._parse(file.path.name, content)
        sections, note = without_secrets(reading)
        text = "\n".join(block for section in sections for block in section.blocks)
        document = Document(file.source, mask_secrets(reading.title), language_of(text), sections, file.url)
        passages = tuple(split(document, self._passage_tokens, self._embedder.count_tokens))
        vectors = in_context(self._vectors([embedded_text(passage) for passage in passages]))
        return DraftDocument(document.title, document.language, note, passages, vectors)

    def _draft_key(self, file: DocumentFile, fingerprint: str) -> str:
        """What a document is made from and by; another file of the same content has another source."""
        return hashlib.sha256(f"{self._embedder.id}\n{file.source}\n{fingerprint}".encode()).hexdigest()

    def _vectors(self, texts: list[str]) -> Vectors:
        parts = [
            self._embedder.embed(texts[at : at + _EMBEDDED_AT_ONCE]) for at in range(0, len(texts), _EMBEDDED_AT_ONCE)
        ]
        return np.concatenate(parts)

    def _parse_here(self, name: str, content: bytes) -> Reading:
        return parse(name, content, UNPACKED_TIMES * self._max_file_mb * BYTES_A_MB)


def rebuild(store: Store, embedder: Embedder, progress: Callable[[int, int], None]) -> int:
    """Make all vectors anew with this embedder; tells `progress(done, all)`; says how many passages there are."""
    return store.rebuild(lambda some: in_context(embedder.embed([embedded_text(one) for one in some])), progress)


def embedded_text(passage: Passage) -> str:
    """What the vector of a passage is made of: without its headings, a passage rarely says what it is about."""
    return f"{passage.label}. {passage.text}"


def passage_terms(passage: Passage) -> list[str]:
    """What full-text search finds a passage by."""
    return terms(f"{passage.label}\n{passage.text}")


@contextmanager
def _executor(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads of which, when something goes wrong, none begins another file."""
    executor = ThreadPoolExecutor(threads, thread_name_prefix="ingest")
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def _gone(known: dict[str, StoredDocument], files: Sequence[DocumentFile], below: str) -> list[StoredDocument]:
    if not below:
        return []
    there = {file.identity for file in files}
    return [one for one in known.values() if one.identity.startswith(below) and one.identity not in there]


def _settled(read: FileContent) -> float:
    """When the file last changed; 0 where that is so short ago that its content could still change unseen."""
    return read.modified_at_s if time.time() - read.modified_at_s > _TICK_S else 0.0
