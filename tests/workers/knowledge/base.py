"""A knowledge base for a test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.workers.knowledge.word_embedder import WordEmbedder
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.embedder import Embedder
from workers.knowledge.folder import DocumentFile, find_files
from workers.knowledge.ingest import FileResult, Ingest
from workers.knowledge.retrievers.hybrid import HybridRetriever
from workers.knowledge.store import Store
from workers.knowledge.stores.embedded import EmbeddedStore


class KnowledgeBase:
    """A knowledge base in a store, by default one in a folder, with what fills and searches it."""

    def __init__(self, folder: Path, embedder: Embedder | None = None, store: Store | None = None) -> None:
        self.embedder = embedder or WordEmbedder()
        self.file = folder / "index.sqlite3"
        self.store = store or EmbeddedStore(self.file, self.embedder.id, self.embedder.dimensions)
        self.retriever = HybridRetriever(self.store, self.embedder)

    def add(self, *paths: Path, max_file_mb: int = 1, passage_tokens: int = 220) -> list[FileResult]:
        """Add files as `fennel kb add` does."""
        ingest = Ingest(self.store, self.embedder, max_file_mb=max_file_mb, passage_tokens=passage_tokens)
        return ingest.add_all(files_below(paths))

    def remove(self, path: Path) -> None:
        """Remove a document."""
        self.store.apply(DEFAULT_BASE, remove=[str(path.absolute())])

    def sources(self, question: str, limit: int = 5) -> list[str]:
        """Where the passages found for a question stand."""
        return [Path(hit.passage.source).name for hit in self.retriever.search(question, limit)]


def files_below(paths: Sequence[Path]) -> list[DocumentFile]:
    """The files of all paths, each once, in the order of the paths."""
    found = {file.identity: file for path in reversed(paths) for file in reversed(list(find_files(path)))}
    return list(reversed(found.values()))
