"""A git repository as a source: followed by its commits, and nothing of it runs."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.workers.knowledge.followed import Followed
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.document import KnowledgeError
from workers.knowledge.ingest import FileStatus
from workers.knowledge.passage import Passage
from workers.knowledge.source import named_source, source_files


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


def _passages(followed: Followed) -> list[Passage]:
    store = followed.kb.store
    return [one for known in store.documents(DEFAULT_BASE) for one in store.passages_of(DEFAULT_BASE, known.identity)]
