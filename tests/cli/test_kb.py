"""`fennel kb`: documents in, and a look at what is found in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.kb import kb
from contract.errors import FennelError
from workers.knowledge.embedder import Embedder, open_embedder
from workers.knowledge.rerankers.sentences import SentenceReranker


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return open_embedder("use-multilingual")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedder: Embedder) -> Path:
    monkeypatch.setattr("workers.knowledge.embedder.open_embedder", lambda _: embedder)
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "vpn.md").write_text("# VPN\n\nA VPN key is valid for 90 days.\n")
    (docs / "zhiban.md").write_text("# 值班\n\n夜间值班补贴每次 45 元。\n")
    (docs / "[red]bad.txt").write_bytes(b"\0")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(kb, arguments, catch_exceptions=True)


def test_add_ends_with_a_table_of_what_became_of_each_file() -> None:
    """Added and failed files stand in the table, the failed ones with their reason; the rest is counted."""
    result = run("add", "docs")
    assert result.exit_code == 0, result.output
    assert "2 added, 0 unchanged, 0 changed, 0 removed, 1 failed" in result.output
    row = next(line for line in result.output.splitlines() if "bad.txt" in line)
    assert "docs/[red]bad.txt" in row
    assert "is binary, not text" in row
    again = run("add", "docs/vpn.md", "docs/zhiban.md")
    assert "0 added, 2 unchanged, 0 changed, 0 removed, 0 failed" in again.output
    assert "Source" not in again.output


def test_add_fails_when_every_file_did() -> None:
    """Exit code 1 where nothing could be read."""
    assert run("add", "docs/[red]bad.txt").exit_code == 1


def test_list_search_and_remove() -> None:
    """What was added is listed and found, with the gate's word on it, until it is removed."""
    run("add", "docs")
    listed = run("list").output
    assert "docs/vpn.md" in listed
    assert "2 documents, 2 passages" in listed
    found = run("search", "How long is a VPN key valid?", "--limit", "1").output
    assert "A VPN key is valid for 90 days." in found
    assert "gate: answer, score " in found
    assert run("remove", "docs/vpn.md").output == "1 removed\n"
    assert "1 documents, 1 passages" in run("list").output
    assert "1 passages have new vectors" in run("rebuild").output


def test_search_shows_what_a_worker_would_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of `fennel kb search` is that of the settings' reranker, as in an answer."""
    run("add", "docs")
    question = ("search", "How long is a VPN key valid?", "--json")
    plain = [one["source"] for one in json.loads(run(*question).output)["passages"]]
    monkeypatch.setattr(SentenceReranker, "rerank", lambda _, text, hits: [*reversed(hits)])
    assert [one["source"] for one in json.loads(run(*question).output)["passages"]] == plain
    monkeypatch.setenv("FENNEL_KNOWLEDGE__RERANKER", "sentences")
    assert [one["source"] for one in json.loads(run(*question).output)["passages"]] == plain[::-1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("add", "nowhere"), "there is no nowhere"),
        (("add", "empty"), "nothing that can be read is below empty"),
        (("remove", "nowhere"), "there is no document nowhere: `fennel kb list` names them all"),
    ],
)
def test_what_goes_wrong_is_a_sentence(home: Path, arguments: tuple[str, ...], sentence: str) -> None:
    """A path or a source that is not there is named, with what to do."""
    (home / "empty").mkdir()
    result = run(*arguments)
    assert isinstance(result.exception, FennelError)
    assert str(result.exception) == sentence
