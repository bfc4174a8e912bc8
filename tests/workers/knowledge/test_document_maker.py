"""Documents made of files, some at a time."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from tests.workers.knowledge.base import files_below
from tests.workers.knowledge.word_embedder import WordEmbedder
from workers.knowledge.document_maker import DocumentMaker
from workers.knowledge.embedder import Vectors


class GivingUpEmbedder(WordEmbedder):
    """Gives the run up with its third text, as Ctrl-C would."""

    def __init__(self, given_up: threading.Event) -> None:
        super().__init__()
        self.texts = 0
        self._given_up = given_up

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Their vectors."""
        self.texts += len(texts)
        if self.texts == 3:
            self._given_up.set()
        return super().embed(texts)


def write(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"p{number}.md").write_text(f"Gauge {number} is red.")


def test_a_run_that_is_given_up_embeds_no_further_file(tmp_path: Path) -> None:
    """Sixteen files are begun together, and Ctrl-C waits for one of them alone."""
    write(tmp_path, 16)
    given_up = threading.Event()
    embedder = GivingUpEmbedder(given_up)
    maker = DocumentMaker(embedder, 1, 100, None, None)
    assert maker.make(files_below([tmp_path]), given_up) == []
    assert embedder.texts == 3


def test_a_file_that_cannot_be_read_costs_itself_alone(tmp_path: Path) -> None:
    """The others of its batch are made, each under its own name, and it has its reason."""
    write(tmp_path, 4)
    (tmp_path / "p2.md").write_bytes(b"\x00\xff\x00\xfe")
    maker = DocumentMaker(WordEmbedder(), 1, 100, None, None)
    made = {one.file.path.name: one for one in maker.make(files_below([tmp_path]), threading.Event())}
    assert [name for name, one in sorted(made.items()) if one.document is None] == ["p2.md"]
    assert "binary" in made["p2.md"].note
    for name in ("p0.md", "p1.md", "p3.md"):
        document = made[name].document
        assert document is not None
        assert document.passages[0].text == f"Gauge {name[1]} is red."
