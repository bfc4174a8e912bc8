"""Ingest: files become passages in a knowledge base, on all cores, in one step for all of them.

What a file costs depends on what is known of it: nothing but a look where its size and time are those that are known,
reading where only its time is another, parsing and embedding where its content is.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from queue import SimpleQueue

from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.document import DocumentError, KnowledgeError
from workers.knowledge.document_maker import DocumentMaker, MadeDocument, ParseFile, embedded_text
from workers.knowledge.draft import Draft
from workers.knowledge.embedder import Embedder
from workers.knowledge.folder import DocumentFile, file_state
from workers.knowledge.passage_context import in_context
from workers.knowledge.store import FileState, NewDocument, Store, StoredDocument

_BATCHES_A_THREAD = 2
_FILES_A_BATCH = 16
_BYTES_A_BATCH = 200_000
"""So that somebody who watches large files come in sees one after another."""


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
    interrupted goes on there. `threads` is how many work on files; by default one for each core.
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
        self._maker = DocumentMaker(embedder, max_file_mb, passage_tokens, parse_file, draft)
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
            self._maker.forget_drafts()
        for one in gone:
            tell(FileResult(one.source, FileStatus.REMOVED))
        return results

    # --- what is to be done

    def _look(self, file: DocumentFile, known: StoredDocument | None) -> FileResult | FileState | None:
        """Look at a file that may be known: its result, its new state where only that has changed, else None."""
        if known is None or not known.fingerprint.startswith(self._maker.made_by(file)):
            return None
        try:
            if (known.size_bytes, known.modified_at_s) == file_state(file):
                return FileResult(file.source, FileStatus.UNCHANGED)
            fingerprint, state = self._maker.look(file)
        except DocumentError as error:
            return FileResult(file.source, FileStatus.FAILED, reason=str(error))
        return state if fingerprint == known.fingerprint else None

    # --- doing it

    def _documents(
        self, files: Sequence[DocumentFile], known: dict[str, StoredDocument], tell: Callable[[FileResult], None]
    ) -> Iterator[NewDocument]:
        """The documents in the files, made on several threads, in the order in which they are done."""
        batches = _batches(files)
        done: SimpleQueue[Future[list[MadeDocument]]] = SimpleQueue()
        given_up = threading.Event()
        in_hand = 0
        with _executor(self._threads, given_up) as executor:
            while True:
                for batch in islice(batches, _BATCHES_A_THREAD * self._threads - in_hand):
                    executor.submit(self._maker.make, batch, given_up).add_done_callback(done.put)
                    in_hand += 1
                if not in_hand:
                    return
                for made in done.get().result():
                    source, document = made.file.source, made.document
                    if document is None:
                        tell(FileResult(source, FileStatus.FAILED, reason=made.note))
                        continue
                    yield document
                    status = FileStatus.CHANGED if document.identity in known else FileStatus.ADDED
                    tell(FileResult(source, status, len(document.passages), made.note))
                in_hand -= 1


def rebuild(store: Store, embedder: Embedder, progress: Callable[[int, int], None]) -> int:
    """Make all vectors anew with this embedder; tells `progress(done, all)`; says how many passages there are."""
    return store.rebuild(lambda some: in_context(embedder.embed([embedded_text(one) for one in some])), progress)


def _batches(files: Sequence[DocumentFile]) -> Iterator[list[DocumentFile]]:
    """The files in their order, small ones together."""
    batch: list[DocumentFile] = []
    size_bytes = 0
    for file in files:
        with suppress(DocumentError):  # it is told of where the file is read
            size_bytes += file_state(file)[0]
        batch.append(file)
        if len(batch) == _FILES_A_BATCH or size_bytes >= _BYTES_A_BATCH:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


@contextmanager
def _executor(threads: int, given_up: threading.Event) -> Iterator[ThreadPoolExecutor]:
    """Threads of which, when something goes wrong, none embeds another file."""
    executor = ThreadPoolExecutor(threads, thread_name_prefix="ingest")
    try:
        yield executor
    finally:
        given_up.set()
        executor.shutdown(cancel_futures=True)


def _gone(known: dict[str, StoredDocument], files: Sequence[DocumentFile], below: str) -> list[StoredDocument]:
    if not below:
        return []
    there = {file.identity for file in files}
    return [one for one in known.values() if one.identity.startswith(below) and one.identity not in there]
