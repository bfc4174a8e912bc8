"""`fennel kb` over several bases: files of every format, sync, URLs, and which channel sees what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.kb import kb
from config.environment import CHECKOUT
from contract.errors import FennelError
from tests.valkey import ValkeyServer
from tests.workers.knowledge.documents import REASONS
from workers.knowledge.embedder import Embedder, open_embedder

DOCUMENTS = CHECKOUT / "tests" / "data" / "documents"


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return open_embedder("use-multilingual")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedder: Embedder) -> Path:
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setattr("workers.knowledge.embedder.open_embedder", lambda _: embedder)
    monkeypatch.chdir(tmp_path)
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "vpn.md").write_text("# VPN\n\nA VPN key is valid for 90 days.\n")
    (docs / "boat.md").write_text("# Boat\n\nThe boat is red.\n")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(kb, arguments, catch_exceptions=True)


def told(*arguments: str) -> dict[str, Any]:
    """What a command says in JSON."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_each_bad_file_has_its_reason_in_the_table_and_the_rest_is_added() -> None:
    """Of a folder with files of every format, good and bad, the good ones are in and each bad one says why not."""
    result = run("add", str(DOCUMENTS / "good"), str(DOCUMENTS / "bad"))
    assert result.exit_code == 0, result.output
    good = list((DOCUMENTS / "good").iterdir())
    assert f"{len(good)} added, 0 unchanged, 0 changed, 0 removed, {len(REASONS)} failed" in result.output
    for name, reason in REASONS.items():
        row = next(line for line in result.output.splitlines() if f"bad/{name} " in line)
        assert reason in row
    shown = told("show", str(DOCUMENTS / "good" / "stations.pdf"))
    first = shown["passages"][0]
    assert (first["page"], first["heading"][-1]) == (1, "Where they are")


def test_sync_follows_a_folder_and_goes_on_without_being_told_where(home: Path) -> None:
    """What came, changed and went is in the table; later a bare `sync` does the same for every place."""
    first = run("sync", "docs", "--base-url", "https://wiki.example")
    assert "2 added, 0 unchanged, 0 changed, 0 removed, 0 failed" in first.output
    (home / "docs" / "vpn.md").unlink()
    (home / "docs" / "boat.md").write_text("# Boat\n\nThe boat is blue.\n")
    (home / "docs" / "new.md").write_text("# New\n\nA new page.\n")
    (home / "docs" / "photo.png").write_bytes(b"\x89PNG")
    again = run("sync")
    assert "1 added, 0 unchanged, 1 changed, 1 removed, 0 failed" in again.output
    assert "1 files of other kinds left out (.png 1)" in again.output
    assert told("sync")["unchanged"] == 2
    (hit,) = told("search", "blue boat", "--limit", "1")["passages"]
    assert (hit["source"], hit["place"]) == ("docs/boat.md", "https://wiki.example/boat.md")


def test_a_place_that_is_gone_does_not_stop_the_others(home: Path) -> None:
    """A bare `sync` tells of the place that cannot be read, follows the others, and fails."""
    (home / "gone").mkdir()
    (home / "gone" / "a.md").write_text("One.")
    run("sync", "gone")
    run("sync", "docs")
    (home / "gone" / "a.md").unlink()
    (home / "gone").rmdir()
    (home / "docs" / "boat.md").write_text("# Boat\n\nThe boat is blue.\n")
    result = run("sync")
    assert result.exit_code == 1
    assert "1 changed" in result.output
    assert "gone: there is no folder" in result.output
    assert len(told("list")["documents"]) == 3


def test_bases_are_apart(home: Path) -> None:
    """What was added to a base is listed, found and removed there alone."""
    run("add", "docs/vpn.md")
    run("add", "docs/boat.md", "--base", "harbour")
    assert [one["source"] for one in told("list")["documents"]] == ["docs/vpn.md"]
    listed = told("list", "--base", "harbour")
    assert [one["source"] for one in listed["documents"]] == ["docs/boat.md"]
    assert listed["bases"] == {
        "default": {"documents": 1, "passages": 1},
        "harbour": {"documents": 1, "passages": 1},
    }
    assert [one["source"] for one in told("search", "red boat")["passages"]] == ["docs/vpn.md"]
    assert isinstance(run("remove", "docs/boat.md").exception, FennelError)
    assert told("remove", "--all", "--base", "harbour")["removed"] == ["docs/boat.md"]
    assert "harbour" not in told("list")["bases"]


def test_what_was_removed_does_not_come_back(home: Path) -> None:
    """A place that was removed is not synced by a bare `sync` any more."""
    run("sync", "docs")
    assert len(told("remove", "docs")["removed"]) == 2
    assert str(run("sync").exception) == "nothing was synced yet: name a folder or a git URL"


def test_a_document_shows_its_passages(home: Path) -> None:
    """`show` prints the passages with their headings and where they stand."""
    run("add", "docs", "--base-url", "https://wiki.example/{stem}")
    output = run("show", "docs/vpn.md").output
    assert "VPN (en), 1 passages" in output
    assert "https://wiki.example/vpn" in output
    assert "A VPN key is valid for 90 days." in output


def test_channels_are_bound_to_bases(valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A binding is made, listed and undone; a base that is not there yet is told of."""
    monkeypatch.setenv("FENNEL_REDIS__URL", valkey.url)
    run("add", "docs", "--base", "harbour")
    bound = run("bind", "slack:T1:C1", "harbour", "hr")
    assert bound.exit_code == 0, bound.output
    assert "slack:T1:C1 sees harbour, hr" in bound.output
    assert "there is no knowledge base hr yet" in bound.output
    assert "there is no knowledge base harbour" not in bound.output
    assert told("bindings") == {"slack:T1:C1": ["harbour", "hr"]}
    assert "every other one sees default" in run("bindings").output
    assert run("unbind", "slack:T1:C1").output == "slack:T1:C1 sees default\n"
    assert isinstance(run("unbind", "slack:T1:C1").exception, FennelError)
    assert told("bindings") == {}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("bind", "slack:T1:C1", "hr"), "Redis, which keeps the bindings, does not answer: `fennel up` starts it"),
        (("add", "docs", "--base", "a b"), "a knowledge base cannot be called 'a b'"),
        (("add", "docs", "--base-url", "wiki"), "--base-url wiki is no web address"),
        (("sync", "nowhere"), "there is no folder"),
        (("sync", "http://x.example/r.git"), "is no address that is fetched"),
        (("show", "nothing.md"), "there is no document nothing.md"),
        (("remove",), "name a document or a folder, or the whole base by --all"),
        (("remove", "docs", "--all"), "name a document or a folder, or the whole base by --all"),
    ],
)
def test_what_goes_wrong_is_a_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    """Each mistake is named, and nothing is changed."""
    result = run(*arguments)
    assert isinstance(result.exception, FennelError)
    assert sentence in str(result.exception)
    assert told("list")["documents"] == []
