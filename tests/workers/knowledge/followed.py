"""A knowledge base that follows a folder."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.workers.knowledge.base import KnowledgeBase
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.ingest import FileResult, Ingest
from workers.knowledge.parse import parse
from workers.knowledge.reader import Reading
from workers.knowledge.source import Source, named_source, source_files


class Followed:
    """A knowledge base that follows a folder, and counts what it parses."""

    def __init__(self, folder: Path, base_url: str = "") -> None:
        self.kb = KnowledgeBase(folder / "kb")
        self.docs = folder / "docs"
        self.docs.mkdir(exist_ok=True)
        self.source = named_source(DEFAULT_BASE, str(self.docs), base_url, "")
        self.parsed: list[str] = []

    def write(self, name: str, text: str) -> Path:
        """Write a file of the folder."""
        path = self.docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def sync(self, source: Source | None = None) -> Counter[str]:
        """Sync, and count what became of the files."""
        return Counter(result.status for result in self.results(source))

    def results(self, source: Source | None = None) -> list[FileResult]:
        """Sync, and tell what became of each file."""
        source = source or self.source
        self.parsed = []
        files = source_files(source, self.docs.parent / "knowledge", Counter())
        ingest = Ingest(
            self.kb.store, self.kb.embedder, max_file_mb=1, passage_tokens=100, parse_file=self._parse, threads=2
        )
        return ingest.add_all(files, remove_others_below=source.identity)

    def names(self) -> list[str]:
        """The documents that are there."""
        return sorted(Path(one.source).name for one in self.kb.store.documents(DEFAULT_BASE))

    def _parse(self, name: str, content: bytes) -> Reading:
        self.parsed.append(name)
        return parse(name, content, 10_000_000)
