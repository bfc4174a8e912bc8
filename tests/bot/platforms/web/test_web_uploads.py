"""Files that people send to the knowledge tab."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bot.platforms.web.tabs.uploads import (
    DOCUMENTS,
    NAME_CHARACTERS,
    UploadError,
    place_documents,
    remove_sent,
    safe_name,
)
from tests.bot.conftest import MakeSettings
from workers.knowledge.kind import KINDS


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("handbook.md", "handbook.md"),
        ("出差 报销.PDF", "出差 报销.pdf"),
        ("../../etc/passwd.md", "passwd.md"),
        ("C:\\docs\\vpn.docx", "vpn.docx"),
        ("/etc/cron.d/x.txt", "x.txt"),
        (".hidden.md", "hidden.md"),
        ("--all.md", "all.md"),
        ("a\x00b\u202e;rm -rf $HOME`id`.md", "ab-rm -rf -HOME-id.md"),
        ("....md", "document.md"),
        ("x" * 500 + ".md", "x" * (NAME_CHARACTERS - 3) + ".md"),
    ],
)
def test_a_name_is_made_by_us(sent: str, name: str) -> None:
    """One part, nothing hidden, no option, no more than a screen is wide; and a person still knows it again."""
    assert safe_name(sent, DOCUMENTS) == name


@pytest.mark.parametrize("sent", ["program.exe", "no-ending", "", ".", "..", "page.md/..", "a.md.", "archive.zip"])
def test_other_kinds_are_refused(sent: str) -> None:
    """What cannot be read is not kept."""
    with pytest.raises(UploadError, match="of no kind that can be read"):
        safe_name(sent, DOCUMENTS)


def test_the_kinds_are_those_of_the_readers() -> None:
    """A bot imports no reader, and takes what they read all the same."""
    assert set(DOCUMENTS) == {suffix for kind in KINDS for suffix in kind.suffixes}


def test_a_file_is_placed_whole_or_not_at_all(make_settings: MakeSettings, tmp_path: Path) -> None:
    """The same name again is a newer form; with one file too large none is placed."""
    settings = make_settings(knowledge={"max_file_mb": 1})
    sent = tmp_path / "guide.md"
    sent.write_text("one")
    (placed,) = place_documents([str(sent)], settings, "default")
    assert placed == settings.home / "documents" / "default" / "guide.md"
    assert stat.S_IMODE(placed.stat().st_mode) == 0o600
    sent.write_text("two")
    place_documents([str(sent)], settings, "default")
    assert placed.read_text() == "two"
    other, large = tmp_path / "other.md", tmp_path / "large.md"
    other.write_text("other")
    large.write_bytes(b"x" * 1_000_001)
    with pytest.raises(UploadError, match="larger than 1 MB"):
        place_documents([str(other), str(large)], settings, "default")
    assert [file.name for file in placed.parent.iterdir()] == ["guide.md"]


def test_only_what_was_sent_is_removed(tmp_path: Path) -> None:
    """A path that leads elsewhere is left alone."""
    incoming, elsewhere = tmp_path / "incoming", tmp_path / "elsewhere.md"
    file = incoming / "abc" / "a.md"
    file.parent.mkdir(parents=True)
    for one in (file, elsewhere):
        one.write_text("x")
    remove_sent([str(file), str(elsewhere), str(incoming / ".." / "elsewhere.md")], incoming)
    assert (file.parent.exists(), elsewhere.exists()) == (False, True)
