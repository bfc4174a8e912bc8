"""A knowledge base for a test, and an embedder that needs no weights."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from workers.knowledge.embedder import Embedder, Vectors
from workers.knowledge.index import Index
from workers.knowledge.ingest import FileResult, Ingest, files_below
from workers.knowledge.retrievers.hybrid import HybridRetriever
from workers.knowledge.words import content_terms, size_words


class WordEmbedder(Embedder):
    """Adds up a direction for each word: texts that share words are near, and the same text is the same vector."""

    def __init__(self, name: str = "words", dimensions: int = 64) -> None:
        self._name = name
        self._dimensions = dimensions

    @property
    def id(self) -> str:
        """As it was named."""
        return self._name

    @property
    def dimensions(self) -> int:
        """As it was told."""
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text."""
        rows = np.zeros((len(texts), self._dimensions), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for term in content_terms(text):
                row += np.random.default_rng(zlib.crc32(term.encode())).standard_normal(self._dimensions)
            row /= max(1e-9, float(np.linalg.norm(row)))
        return rows

    def count_tokens(self, text: str) -> int:
        """Words, and Chinese characters as one each."""
        return size_words(text)


class KnowledgeBase:
    """An index in a folder, with what fills and searches it."""

    def __init__(self, folder: Path, embedder: Embedder | None = None) -> None:
        self.embedder = embedder or WordEmbedder()
        self.file = folder / "index.sqlite3"
        self.index = Index(self.file, self.embedder.id, self.embedder.dimensions)
        self.retriever = HybridRetriever(self.index, self.embedder)

    def add(self, *paths: Path, max_file_mb: int = 1, passage_tokens: int = 220) -> list[FileResult]:
        """Add files as `fennel kb add` does."""
        ingest = Ingest(self.index, self.embedder, max_file_mb=max_file_mb, passage_tokens=passage_tokens)
        return [ingest.add(file) for file in files_below(paths)]

    def sources(self, question: str, limit: int = 5) -> list[str]:
        """Where the passages found for a question stand."""
        return [Path(hit.passage.source).name for hit in self.retriever.search(question, limit)]
