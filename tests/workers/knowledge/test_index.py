"""The index: one file that many read while one writes, and that survives being killed."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from config.settings import CHECKOUT
from tests.workers.knowledge.base import KnowledgeBase, WordEmbedder
from workers.knowledge.document import KnowledgeError
from workers.knowledge.index import SCHEMA_VERSION, Index
from workers.knowledge.ingest import FileStatus, rebuild

PASSAGES = 40

# Puts ten documents into the index over and over, each time with other content, and says when it has begun.
# The vectors are made beforehand, so that nearly all of its time is spent inside a transaction.
WRITER = f"""
import sys
from pathlib import Path
from tests.workers.knowledge.base import KnowledgeBase
from workers.knowledge.document import Document
from workers.knowledge.passage import Passage
base = KnowledgeBase(Path(sys.argv[1]))
texts = [f"Passage {{number}} of a page." for number in range({PASSAGES})]
vectors = base.embedder.embed(texts)
round_number = 0
while True:
    round_number += 1
    for name in range(10):
        source = f"{{name}}.md"
        passages = [(Passage(0, source, "Page", (), "en", text), ["page", str(round_number)]) for text in texts]
        base.index.put(source, str(round_number), Document(source, "Page", "en", ()), passages, vectors)
    print(round_number, flush=True)
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_reader_sees_what_another_writes_without_a_restart(tmp_path: Path) -> None:
    """Documents that one process adds, changes and removes are found, or no more, at the next search of another."""
    reader, writer = KnowledgeBase(tmp_path / "kb"), KnowledgeBase(tmp_path / "kb")
    assert reader.sources("tide gauge") == []
    first = write(tmp_path, "gauge.md", "# Gauge\n\nThe tide gauge is blue.\n")
    second = write(tmp_path, "boat.md", "# Boat\n\nThe boat is red.\n")
    writer.add(first, second)
    assert reader.sources("tide gauge")[0] == "gauge.md"
    write(tmp_path, "gauge.md", "# Lamp\n\nA lamp is green.\n")
    writer.add(first)
    (hit, *_) = reader.retriever.search("green lamp", 1)
    assert hit.passage.title == "Lamp"
    assert writer.index.remove(str(first)) == 1
    assert reader.sources("green lamp") == ["boat.md"]


def test_unchanged_changed_and_failed_files_are_told_apart(tmp_path: Path) -> None:
    """The same bytes are not read again; other ones replace every passage; a bad file leaves what was there."""
    base = KnowledgeBase(tmp_path / "kb")
    path = write(tmp_path, "a.md", "# A\n\nOne.\n\n## B\n\nTwo.\n")
    assert [result.status for result in base.add(path)] == [FileStatus.ADDED]
    assert [result.status for result in base.add(path, path.parent / "." / "a.md")] == [FileStatus.UNCHANGED]
    write(tmp_path, "a.md", "# A\n\nThree.\n")
    (changed,) = base.add(path)
    assert (changed.status, changed.passages) == (FileStatus.CHANGED, 1)
    path.write_bytes(b"\0")
    (failed,) = base.add(path)
    assert (failed.status, failed.reason) == (FileStatus.FAILED, "is binary, not text")
    assert [one.passages for one in base.index.documents()] == [1]
    assert base.index.with_words(["two"], 5) == []


def test_another_passage_size_cuts_unchanged_files_anew(tmp_path: Path) -> None:
    """A file whose bytes are the same is taken again when passages are to be cut in another way."""
    base = KnowledgeBase(tmp_path / "kb")
    path = write(tmp_path, "a.md", "# A\n\n" + "One two three four five six. " * 10)
    base.add(path)
    (result,) = base.add(path, passage_tokens=20)
    assert (result.status, result.passages) == (FileStatus.CHANGED, 4)


def test_removing_a_folder_removes_what_is_below_it_alone(tmp_path: Path) -> None:
    """`docs` removes docs/a.md and leaves docs2/a.md, and a percent sign means itself."""
    base = KnowledgeBase(tmp_path / "kb")
    for name in ("docs/a.md", "docs/sub/b.md", "docs2/a.md", "do%s/a.md"):
        write(tmp_path, name, "text")
    base.add(tmp_path / "docs", tmp_path / "docs2", tmp_path / "do%s")
    assert base.index.remove(str(tmp_path / "docs")) == 2
    assert [Path(one.source).parent.name for one in base.index.documents()] == ["do%s", "docs2"]
    assert base.index.remove("nothing") == 0


def test_another_embedders_index_is_refused_with_the_command_that_rebuilds_it(tmp_path: Path) -> None:
    """Vectors of two embedders never meet: reading and writing are refused until `fennel kb rebuild` has run."""
    old = KnowledgeBase(tmp_path / "kb")
    path = write(tmp_path, "a.md", "# Gauge\n\nThe tide gauge is blue.\n")
    old.add(path)
    new = KnowledgeBase(tmp_path / "kb", WordEmbedder("other", 32))
    other = write(tmp_path, "b.md", "# Boat\n\nA boat.\n")
    for act in (lambda: new.sources("gauge"), lambda: new.add(other)):
        with pytest.raises(KnowledgeError, match=r"holds vectors of the embedder words .* run `fennel kb rebuild`"):
            act()
    told: list[tuple[int, int]] = []
    assert rebuild(new.index, new.embedder, lambda done, whole: told.append((done, whole))) == 1
    assert told == [(1, 1)]
    assert new.sources("tide gauge") == ["a.md"]
    with pytest.raises(KnowledgeError, match="holds vectors of the embedder other"):
        old.sources("gauge")


def test_a_rebuild_with_the_same_embedder_is_seen_by_readers(tmp_path: Path) -> None:
    """After a rebuild a running reader has each vector once."""
    reader, writer = KnowledgeBase(tmp_path / "kb"), KnowledgeBase(tmp_path / "kb")
    writer.add(write(tmp_path, "a.md", "# A\n\nOne.\n\n## B\n\nTwo.\n"))
    before = reader.index.matrix()
    rebuild(writer.index, writer.embedder, lambda done, whole: None)
    after = reader.index.matrix()
    assert after.generation > before.generation
    assert after.ids.tolist() == before.ids.tolist()
    assert abs(after.vectors - before.vectors).max() == 0


def test_what_is_no_index_is_said_in_a_sentence(tmp_path: Path) -> None:
    """A damaged file, one of another version and a folder in its place are named, with what to do."""
    damaged = tmp_path / "damaged.sqlite3"
    damaged.write_bytes(b"this is no database at all" * 100)
    newer = tmp_path / "newer.sqlite3"
    with sqlite3.connect(newer) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    (tmp_path / "folder.sqlite3").mkdir()
    (tmp_path / "file").write_text("")
    for path, sentence in (
        (damaged, "is damaged .*: move it away and add the documents again"),
        (newer, "was made by another version of Fennel"),
        (tmp_path / "folder.sqlite3", "cannot be written"),
        (tmp_path / "file" / "index.sqlite3", "cannot be opened: "),
    ):
        with pytest.raises(KnowledgeError, match=sentence):
            Index(path, "words", 64).documents()


def test_many_threads_search_while_one_writes(tmp_path: Path) -> None:
    """No search fails or finds half of a document while documents come and go."""
    base, writer = KnowledgeBase(tmp_path / "kb"), KnowledgeBase(tmp_path / "kb")
    writer.add(write(tmp_path, "always.md", "# Always\n\nThe lighthouse stands.\n"))
    stop = threading.Event()
    failures: list[str] = []

    def search() -> None:
        try:
            while not stop.is_set():
                sources = base.sources("lighthouse stands", 50)
                if sources.count("always.md") != 1 or sources.count("pair.md") not in (0, 2):
                    failures.append(str(sources))
        except Exception as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(20):
        path = write(tmp_path, "pair.md", f"# Pair\n\nLighthouse {number}.\n\n## Two\n\nLighthouse {number}.\n")
        writer.add(path)
        if number % 3 == 2:
            writer.index.remove(str(path))
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_writer_killed_at_any_moment_leaves_a_good_index(tmp_path: Path) -> None:
    """After SIGKILL in the middle of adding, every document is whole, the file is sound, and adding goes on."""
    seed = int.from_bytes(os.urandom(4))
    moments = random.Random(seed)
    base = KnowledgeBase(tmp_path / "kb")
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "kb")], cwd=CHECKOUT, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline()
        time.sleep(moments.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        with sqlite3.connect(base.file) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",), seed
            tables = ("passages", "vectors", "words")
            counts = {db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}  # noqa: S608
        db.close()
        documents = base.index.documents()
        assert [one.passages for one in documents] == [PASSAGES] * 10, seed
        assert counts == {10 * PASSAGES}, seed
        assert len(base.index.matrix().ids) == 10 * PASSAGES, seed
    base.add(write(tmp_path, "last.md", "# Last\n\nThe lighthouse.\n"))
    assert base.sources("lighthouse", 1) == ["last.md"]
