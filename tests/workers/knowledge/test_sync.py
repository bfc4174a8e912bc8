"""Sync: a knowledge base holds what a folder holds, before or after, and never in between."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.workers.knowledge.followed import Followed
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.document import KnowledgeError
from workers.knowledge.embedder import Vectors
from workers.knowledge.ingest import FileStatus
from workers.knowledge.source import Sources, named_source


def test_what_comes_changes_and_goes(tmp_path: Path) -> None:
    """A second sync adds, changes and removes what the folder did, and leaves the rest alone."""
    followed = Followed(tmp_path)
    for name in ("a.md", "b.md", "sub/c.txt", "picture.png"):
        followed.write(name, f"The page {name}.")
    assert followed.sync() == {FileStatus.ADDED: 3}
    followed.write("b.md", "Another page.")
    followed.write("d.md", "A new page.")
    (followed.docs / "sub" / "c.txt").unlink()
    assert followed.sync() == {
        FileStatus.ADDED: 1, FileStatus.UNCHANGED: 1, FileStatus.CHANGED: 1, FileStatus.REMOVED: 1
    }  # fmt: skip
    assert followed.names() == ["a.md", "b.md", "d.md"]
    assert sorted(followed.parsed) == ["b.md", "d.md"]


def test_other_documents_of_the_base_stay(tmp_path: Path) -> None:
    """Syncing `docs` removes nothing of `docs2`, nor what was added alone."""
    followed = Followed(tmp_path)
    followed.write("a.md", "One.")
    other = tmp_path / "docs2" / "b.md"
    other.parent.mkdir()
    other.write_text("Two.")
    followed.kb.add(other)
    assert followed.sync() == {FileStatus.ADDED: 1}
    assert followed.names() == ["a.md", "b.md"]


def test_an_unchanged_file_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where size and time are those that are known, no file is opened."""
    followed = Followed(tmp_path)
    followed.write("a.md", "The page.")
    monkeypatch.setattr("workers.knowledge.document_maker._TICK_S", 0.0)
    followed.sync()

    def refuse(*_: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr("workers.knowledge.document_maker.read_file", refuse)
    assert followed.sync() == {FileStatus.UNCHANGED: 1}


def test_a_touched_file_is_read_and_not_parsed(tmp_path: Path) -> None:
    """Another time with the same bytes is no change."""
    followed = Followed(tmp_path)
    path = followed.write("a.md", "The page.")
    followed.sync()
    os.utime(path, (1, 1))
    assert followed.sync() == {FileStatus.UNCHANGED: 1}
    assert followed.parsed == []


def test_a_change_that_hides_its_time_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with other bytes of the same length and the old time set back is changed all the same."""
    monkeypatch.setattr("workers.knowledge.document_maker._TICK_S", 0.0)
    followed = Followed(tmp_path)
    path = followed.write("a.md", "The page 1.")
    state = path.stat()
    followed.sync()
    path.write_text("The page 2.")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert followed.sync() == {FileStatus.CHANGED: 1}


def test_a_change_within_the_same_tick_is_found(tmp_path: Path) -> None:
    """A file that was written just before it was read is looked into again, whatever its time says."""
    followed = Followed(tmp_path)
    path = followed.write("a.md", "The page 1.")
    followed.sync()
    (known,) = followed.kb.store.documents(DEFAULT_BASE)
    assert known.modified_at_s == 0.0
    path.write_text("The page 2.")
    assert followed.sync() == {FileStatus.CHANGED: 1}


def test_a_bad_file_has_its_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    """What cannot be read keeps what was there of it, and is tried again each time."""
    followed = Followed(tmp_path)
    followed.write("a.md", "One.")
    followed.write("b.md", "Two.")
    followed.sync()
    (followed.docs / "a.md").write_bytes(b"\0")
    followed.write("c.md", "Three.")
    results = {Path(one.source).name: one for one in followed.results()}
    assert (results["a.md"].status, results["a.md"].reason) == (FileStatus.FAILED, "is binary, not text")
    assert results["c.md"].status is FileStatus.ADDED
    assert followed.names() == ["a.md", "b.md", "c.md"]
    assert followed.sync()[FileStatus.FAILED] == 1


def test_an_empty_folder_removes_nothing(tmp_path: Path) -> None:
    """A disk that is not mounted looks like an empty folder, and a folder that is gone is said to be."""
    followed = Followed(tmp_path)
    path = followed.write("a.md", "One.")
    followed.sync()
    path.unlink()
    with pytest.raises(KnowledgeError, match="holds no document any more, so nothing was removed"):
        followed.sync()
    followed.docs.rmdir()
    with pytest.raises(KnowledgeError, match="there is no folder"):
        followed.sync()
    assert followed.names() == ["a.md"]


def test_a_failure_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    """Where the embedder breaks at the last of many files, the base is as it was."""
    followed = Followed(tmp_path)
    followed.write("a.md", "One.")
    followed.sync()
    before = followed.kb.store.bases()
    for number in range(20):
        followed.write(f"new{number}.md", f"Page {number}.")
    followed.write("a.md", "Changed.")
    embed = followed.kb.embedder.embed
    count = 0

    def broken(texts: Sequence[str]) -> Vectors:
        nonlocal count
        count += 1
        if count == 20:
            raise KnowledgeError("the embedder broke")
        return embed(texts)

    followed.kb.embedder.embed = broken  # type: ignore[method-assign]
    with pytest.raises(KnowledgeError, match="the embedder broke"):
        followed.sync()
    followed.kb.embedder.embed = embed  # type: ignore[method-assign]
    assert followed.kb.store.bases() == before
    assert followed.names() == ["a.md"]


def test_nothing_outside_the_folder_comes_in(tmp_path: Path) -> None:
    """Links to files and folders outside bring nothing in; one to a file inside does."""
    followed = Followed(tmp_path)
    secret = tmp_path / "secret" / "key.md"
    secret.parent.mkdir()
    secret.write_text("The key is 1234.")
    (followed.docs / "link.md").symlink_to(secret)
    (followed.docs / "folder").symlink_to(secret.parent)
    (followed.docs / "up.md").symlink_to("../secret/key.md")
    followed.write("a.md", "One.")
    (followed.docs / "same.md").symlink_to("a.md")
    results = {Path(one.source).name: one.reason for one in followed.results()}
    outside = "a link that leads out of docs"
    assert results == {"a.md": "", "same.md": "", "link.md": outside, "up.md": outside}
    assert followed.names() == ["a.md", "same.md"]


# --- addresses


def test_documents_have_urls_by_rule(tmp_path: Path) -> None:
    """A passage's place is its document's URL; another rule takes the documents anew."""
    followed = Followed(tmp_path, "https://wiki.example/docs")
    followed.write("sub/a page.md", "# Gauge\n\nThe tide gauge is blue.")
    followed.sync()
    (hit,) = followed.kb.retriever.search("tide gauge", 1)
    assert hit.passage.place == "https://wiki.example/docs/sub/a%20page.md"
    other = named_source(DEFAULT_BASE, str(followed.docs), "https://site.example/{stem}.html", "")
    assert followed.sync(other) == {FileStatus.CHANGED: 1}
    (hit,) = followed.kb.retriever.search("tide gauge", 1)
    assert hit.passage.place == "https://site.example/sub/a%20page.html"


# --- the file of sources


def test_sources_are_kept_and_forgotten(tmp_path: Path) -> None:
    """Each source is kept once for a base, with the newest rule; a damaged file is named."""
    sources = Sources(tmp_path)
    assert sources.all() == []
    first = named_source("a", "docs", "", "")
    sources.put(first)
    sources.put(named_source("a", "docs/.", "https://x.example", ""))
    sources.put(named_source("b", "docs", "", ""))
    assert [(one.base, one.base_url) for one in sources.all()] == [("a", "https://x.example"), ("b", "")]
    sources.remove("a", first.identity)
    assert [one.base for one in sources.all()] == ["b"]
    (tmp_path / "sources.json").write_text("rubbish")
    with pytest.raises(KnowledgeError, match=r"sources.json cannot be read"):
        sources.all()


def test_one_sync_at_a_time(tmp_path: Path) -> None:
    """A second sync of the same home is told to wait."""
    with Sources(tmp_path).syncing(), pytest.raises(KnowledgeError, match="another sync is running"):
        Sources(tmp_path).syncing().__enter__()
