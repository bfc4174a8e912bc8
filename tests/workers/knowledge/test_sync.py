"""Sync: a knowledge base holds what a folder or a repository holds, before or after, and never in between."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.workers.knowledge.base import KnowledgeBase
from workers.knowledge.address import address_rule, page_address
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.document import KnowledgeError
from workers.knowledge.embedder import Vectors
from workers.knowledge.ingest import FileResult, FileStatus, Ingest
from workers.knowledge.parse import parse
from workers.knowledge.passage import Passage
from workers.knowledge.reader import Reading
from workers.knowledge.source import Source, Sources, named_source, source_files


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


@pytest.mark.parametrize(
    ("rule", "path", "url"),
    [
        ("", "a.md", ""),
        ("https://x.example/", "a/b.md", "https://x.example/a/b.md"),
        ("https://x.example/v?f={path}", "中 文.md", "https://x.example/v?f=%E4%B8%AD%20%E6%96%87.md"),
        ("https://x.example/{stem}", "a/b.tar.md", "https://x.example/a/b.tar"),
        ("https://x.example", '"><script>.md', "https://x.example/%22%3E%3Cscript%3E.md"),
    ],
)
def test_rules_for_urls(rule: str, path: str, url: str) -> None:
    """A path is appended or put in its place, and nothing in it can be more than a path."""
    assert address_rule(rule)(path) == url


@pytest.mark.parametrize("rule", ["javascript:alert(1)", "ftp://x.example", "https://", "https://x .example", "docs"])
def test_what_is_no_web_address_is_no_rule(rule: str) -> None:
    """A rule that gives no link of the web is refused."""
    with pytest.raises(KnowledgeError, match="is no web address"):
        address_rule(rule)


def test_a_pdf_is_opened_at_its_page() -> None:
    """The page stands behind a PDF's address, and behind no other one's."""
    assert page_address("https://x.example/a.pdf", 3) == "https://x.example/a.pdf#page=3"
    assert page_address("https://x.example/a.pptx", 3) == "https://x.example/a.pptx"
    assert page_address("https://x.example/a.pdf", 0) == "https://x.example/a.pdf"


# --- repositories


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.com", *arguments],
        capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "a.md").write_text("# Gauge\n\nThe tide gauge is blue.\n")
    (folder / "outside.md").symlink_to("/etc/hostname")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    return folder


def test_a_repository_is_followed(tmp_path: Path, repository: Path) -> None:
    """A sync fetches what was committed since, rewritten history too; sources name the repository, not our copy."""
    followed = Followed(tmp_path)
    url = f"file://{repository}"
    source = named_source(DEFAULT_BASE, url, "https://git.example/r", "")
    followed.sync(source)
    assert "a.md" in followed.names()
    (hit,) = followed.kb.retriever.search("tide gauge", 1)
    assert (hit.passage.source, hit.passage.place) == (f"{url}/a.md", "https://git.example/r/a.md")
    (repository / "a.md").unlink()
    (repository / "b.md").write_text("# Boat\n\nThe boat is red.\n")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--amend", "-m", "another one")
    counts = followed.sync(source)
    assert (counts[FileStatus.ADDED], counts[FileStatus.REMOVED]) == (1, 1)
    assert not any("root:" in one.text or "hostname" in one.source for one in _passages(followed))


def test_a_branch_is_a_source_of_its_own(tmp_path: Path, repository: Path) -> None:
    """Another branch's documents stand beside the main one's."""
    followed = Followed(tmp_path)
    git(repository, "checkout", "--quiet", "-b", "next")
    (repository / "next.md").write_text("Next.")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "-m", "next")
    git(repository, "checkout", "--quiet", "main")
    followed.sync(named_source(DEFAULT_BASE, f"file://{repository}", "", ""))
    assert "next.md" not in followed.names()
    followed.sync(named_source(DEFAULT_BASE, f"file://{repository}", "", "next"))
    assert followed.names().count("a.md") == 2
    assert "next.md" in followed.names()


def test_nothing_of_a_repository_runs(tmp_path: Path, repository: Path) -> None:
    """Neither the hooks of the user's template nor a filter that the repository names is started."""
    ran = tmp_path / "ran"
    followed = Followed(tmp_path)
    (repository / ".gitattributes").write_text("*.md filter=evil\n")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "-m", "filter")
    source = named_source(DEFAULT_BASE, f"file://{repository}", "", "")
    followed.sync(source)
    (copy,) = (tmp_path / "knowledge" / "git").iterdir()
    for hook in ("post-checkout", "post-merge", "reference-transaction"):
        path = copy / ".git" / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {ran}\n")
        path.chmod(0o755)
    (repository / "new.md").write_text("New.")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "-m", "new")
    followed.sync(source)
    assert "new.md" in followed.names()
    assert not ran.exists()


def test_a_fetch_that_was_killed_is_taken_up_again(tmp_path: Path, repository: Path) -> None:
    """Half a clone, and a lock that a killed git left behind, hinder nothing."""
    followed = Followed(tmp_path)
    source = named_source(DEFAULT_BASE, f"file://{repository}", "", "")
    followed.sync(source)
    (copy,) = (tmp_path / "knowledge" / "git").iterdir()
    (copy / ".git" / "index.lock").write_text("")
    (copy.with_name(f"{copy.name}.new")).mkdir()
    assert followed.sync(source)[FileStatus.UNCHANGED] >= 1


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("ext::sh -c touch% /tmp/x", "is no address that is fetched"),
        ("http://x.example/r", "is no address that is fetched"),
        ("git://x.example/r", "is no address that is fetched"),
        ("https://me:token@x.example/r", "holds a secret"),
        ("https://token@x.example/r", "holds a secret"),
        ("file:///nowhere/at/all", "git clone failed: "),
        ("ssh://-oProxyCommand=touch/r", "git clone failed: "),
    ],
)
def test_addresses_that_are_not_fetched(tmp_path: Path, url: str, sentence: str) -> None:
    """Only https, ssh and files are fetched, no secret is taken into lists, and git's own words tell what failed."""
    with pytest.raises(KnowledgeError, match=sentence) as caught:
        source_files(named_source(DEFAULT_BASE, url, "", ""), tmp_path, Counter())
    assert "token" not in str(caught.value)


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


def _passages(followed: Followed) -> list[Passage]:
    store = followed.kb.store
    return [one for known in store.documents(DEFAULT_BASE) for one in store.passages_of(DEFAULT_BASE, known.identity)]
