"""Drafts: an `add` or `sync` that was interrupted goes on where it was, and shows nothing before it is done."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from config.environment import CHECKOUT
from tests.workers.knowledge.base import KnowledgeBase, files_below
from tests.workers.knowledge.kill_sync import write_state
from tests.workers.knowledge.word_embedder import WordEmbedder
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.document import KnowledgeError
from workers.knowledge.draft import Draft, DraftDocument
from workers.knowledge.embedder import Vectors
from workers.knowledge.ingest import Ingest
from workers.knowledge.passage import Passage

FILES = 20
MANY = 2_000
"""More than are made in the time after which a draft is written."""
MADE_OF_A_PASSAGE = Passage(0, "a.md", "A", ("B", "C"), "zh", "Text.", 3, "https://a.example")


class CountingEmbedder(WordEmbedder):
    """Counts the texts, and fails after some of them."""

    def __init__(self, fails_after: int = 1_000_000) -> None:
        super().__init__()
        self.texts = 0
        self.fails_after = fails_after

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Their vectors, as long as it lives."""
        self.texts += len(texts)
        if self.texts > self.fails_after:
            raise KnowledgeError("the embedder died")
        return super().embed(texts)


def run(folder: Path, embedder: CountingEmbedder, draft: Path | None, name: str = "kb") -> KnowledgeBase:
    """Add the folder's documents in one step, on one thread."""
    kb = KnowledgeBase(folder / name, embedder)
    with closing(Draft(draft or folder / "draft.sqlite3")) as opened:
        Ingest(kb.store, embedder, max_file_mb=1, passage_tokens=100, draft=opened, threads=1).add_all(
            files_below([folder / "docs"])
        )
    return kb


def drafts(file: Path) -> int:
    """How many documents are in the draft."""
    with closing(sqlite3.connect(file)) as db:
        return int(db.execute("SELECT count(*) FROM drafts").fetchone()[0])


def vectors(kb: KnowledgeBase) -> dict[str, Vectors]:
    """Each document's vectors, by its name."""
    with kb.store.snapshot([DEFAULT_BASE]) as snapshot:
        held: dict[str, Vectors] = {}
        for one in kb.store.documents(DEFAULT_BASE):
            ids = [part.id for part in kb.store.passages_of(DEFAULT_BASE, one.identity)]
            found = snapshot.vectors(ids)
            held[one.source] = np.stack([found[number] for number in ids])
        return held


def test_what_was_embedded_is_not_embedded_again(tmp_path: Path) -> None:
    """A run that failed shows nothing; the next one embeds the rest alone, and brings what one run would have."""
    write_state(tmp_path, FILES, 1)
    with pytest.raises(KnowledgeError, match="the embedder died"):
        run(tmp_path, CountingEmbedder(fails_after=12), None)
    assert KnowledgeBase(tmp_path / "kb").store.documents(DEFAULT_BASE) == []
    assert drafts(tmp_path / "draft.sqlite3") == 12
    second = CountingEmbedder()
    kb = run(tmp_path, second, None)
    assert second.texts == FILES - 12
    once = run(tmp_path, CountingEmbedder(), tmp_path / "other.sqlite3", "once")
    assert [one.fingerprint for one in kb.store.documents(DEFAULT_BASE)] == [
        one.fingerprint for one in once.store.documents(DEFAULT_BASE)
    ]
    for source, held in vectors(once).items():
        assert np.array_equal(vectors(kb)[source], held)
    assert drafts(tmp_path / "draft.sqlite3") == 0


def test_a_draft_is_of_one_content_and_one_embedder(tmp_path: Path) -> None:
    """A file that has changed since, and all files where the embedder is another, are made anew."""
    write_state(tmp_path, FILES, 1)
    with pytest.raises(KnowledgeError):
        run(tmp_path, CountingEmbedder(fails_after=12), None)
    (tmp_path / "docs" / "p0.md").write_text("Another text.")
    second = CountingEmbedder(fails_after=FILES - 12)
    with pytest.raises(KnowledgeError):
        run(tmp_path, second, None)
    other = CountingEmbedder()
    other.__class__ = type("Other", (CountingEmbedder,), {"id": property(lambda _: "another")})
    run(tmp_path, other, None, "kb-of-another")
    assert other.texts == FILES


def test_killed_while_it_embeds_it_goes_on(tmp_path: Path) -> None:
    """After SIGKILL the documents that were made are in the draft, and the next run needs the rest alone."""
    write_state(tmp_path, MANY, 1)
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.workers.knowledge.kill_sync", "--sync", str(tmp_path)],
        cwd=CHECKOUT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    with child.stdout:
        child.stdout.readline()
        until_s = time.monotonic() + 60
        while time.monotonic() < until_s:
            try:
                if drafts(tmp_path / "draft.sqlite3") >= 5:
                    break
            except sqlite3.OperationalError:
                time.sleep(0.005)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    made = drafts(tmp_path / "draft.sqlite3")
    assert KnowledgeBase(tmp_path / "kb").store.documents(DEFAULT_BASE) == []
    assert 5 <= made < MANY
    rest = CountingEmbedder()
    kb = run(tmp_path, rest, None)
    assert rest.texts == MANY - made
    assert len(kb.store.documents(DEFAULT_BASE)) == MANY


def test_a_damaged_draft_is_thrown_away(tmp_path: Path) -> None:
    """Rubbish in its place costs the work that it would have saved, and nothing else."""
    write_state(tmp_path, FILES, 1)
    (tmp_path / "draft.sqlite3").write_bytes(b"rubbish" * 1000)
    embedder = CountingEmbedder()
    kb = run(tmp_path, embedder, None)
    assert len(kb.store.documents(DEFAULT_BASE)) == embedder.texts == FILES


def test_a_document_comes_back_as_it_was_put(tmp_path: Path) -> None:
    """Every field of a passage, the note and the vectors, to the last bit; unknown keys give nothing."""
    put = DraftDocument("A", "zh", "a note", (MADE_OF_A_PASSAGE,), np.array([[0.1, 1 / 3]], np.float32))
    with closing(Draft(tmp_path / "draft.sqlite3")) as draft:
        assert draft.get("key") is None
        draft.put("key", put)
        got = draft.get("key")
        assert got is not None
        assert (got.title, got.language, got.note, got.passages) == ("A", "zh", "a note", put.passages)
        assert np.array_equal(got.vectors, put.vectors)
        assert draft.get("other") is None
        draft.forget(["key"])
        assert draft.get("key") is None


def test_what_nobody_comes_back_for_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run's end drops drafts that are a month old."""
    put = DraftDocument("A", "en", "", (MADE_OF_A_PASSAGE,), np.ones((1, 2), np.float32))
    with closing(Draft(tmp_path / "draft.sqlite3")) as draft:
        draft.put("old", put)
        now_s = time.time()
        monkeypatch.setattr("workers.knowledge.draft.time.time", lambda: now_s + 31 * 24 * 3600)
        draft.put("new", put)
        draft.forget([])
    assert drafts(tmp_path / "draft.sqlite3") == 1
