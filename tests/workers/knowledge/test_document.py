"""Documents: what is read from a file, and the reason where nothing is."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from workers.knowledge.document import DocumentError
from workers.knowledge.folder import find_files, read_file
from workers.knowledge.parse import parse
from workers.knowledge.reader import Reading
from workers.knowledge.words import language_of


def read(path: Path, max_file_mb: int = 1) -> Reading:
    (file,) = find_files(path)
    return parse(path.name, read_file(file, max_file_mb).content, 10 * max_file_mb * 1_000_000)


def test_title_and_headings(tmp_path: Path) -> None:
    """The first heading is the title, and each section keeps the path of headings above it."""
    path = tmp_path / "a.md"
    path.write_text("# Manual\n\nIntro.\n\n## Setup\n\nOne.\n\n### Linux\n\nTwo.\n\n## Use\n\nThree.\n")
    document = read(path)
    assert document.title == "Manual"
    assert [(section.heading, section.blocks) for section in document.sections] == [
        ((), ("Intro.",)),
        (("Setup",), ("One.",)),
        (("Setup", "Linux"), ("Two.",)),
        (("Use",), ("Three.",)),
    ]


def test_markdown_becomes_plain_text_that_keeps_its_structure(tmp_path: Path) -> None:
    """Emphasis and links go; code, tables, numbered lists and what stands in `backticks` stay."""
    path = tmp_path / "a.md"
    path.write_text(
        "See **the** [manual](http://x.example) and run `make`.\n\n3. first\n4. second\n   - inner\n\n"
        "| a | b |\n|---|---|\n| 1 | *2* |\n\n```sh\nls -l\n```\n"
    )
    (section,) = read(path).sections
    assert section.blocks == (
        "See the manual and run `make`.",
        "3. first\n4. second\n  - inner",
        "| a | b |\n| --- | --- |\n| 1 | 2 |",
        "```sh\nls -l\n```",
    )


def test_front_matter_names_the_title(tmp_path: Path) -> None:
    """A title in the front matter wins, and the front matter is no text."""
    path = tmp_path / "a.md"
    path.write_text('---\ntitle: "Named"\nauthor: x\n---\n\n# Heading\n\nText.\n')
    document = read(path)
    assert document.title == "Named"
    assert [section.blocks for section in document.sections] == [("Text.",)]


def test_without_a_heading_the_file_name_is_the_title(tmp_path: Path) -> None:
    """A text file is called after its name."""
    path = tmp_path / "tide_tables-2026.txt"
    path.write_text("One.\n\nTwo.\n")
    document = read(path)
    assert document.title == "tide tables 2026"
    assert document.sections[0].blocks == ("One.", "Two.")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_encodings_of_chinese(tmp_path: Path, encoding: str) -> None:
    """Chinese is read in the encodings that it is written in."""
    text = "# 出差\n\n出差的人每天有 90 元补贴，这是公司的规定。\n"
    path = tmp_path / "a.md"
    path.write_bytes(text.encode(encoding))
    document = read(path)
    assert (document.title, language_of(document.sections[0].blocks[0])) == ("出差", "zh")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.md", b"", "is empty"),
        ("blank.md", b" \n\t\n", "is empty"),
        ("heading.md", b"# Only a heading\n", "has no text"),
        ("picture.md", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "is called .md but is a file of the kind .png"),
        (
            "latin.txt",
            "Müller fährt über die Brücke, schön für ihn".encode("latin-1"),
            "is neither UTF-8 nor GB 18030 text",
        ),
        ("broken.txt", b"good \xff\xff\xfe bad", "is neither UTF-8 nor GB 18030 text"),
        ("huge.txt", b"x" * 1_000_001, "larger than 1 MB (knowledge.max_file_mb)"),
    ],
)
def test_reasons_for_refusing(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    """Each file that cannot be read says why, in words that tell what to do."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DocumentError) as caught:
        read(path)
    assert str(caught.value) == reason


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """A symlink in an added folder gives nothing from outside it; one that stays inside is followed."""
    outside = tmp_path / "secret.md"
    outside.write_text("secret")
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "real.md").write_text("real")
    (folder / "inside.md").symlink_to(folder / "real.md")
    (folder / "outside.md").symlink_to(outside)
    (folder / "loop.md").symlink_to(folder / "loop.md")
    reasons = {}
    for file in find_files(folder):
        try:
            reasons[file.path.name] = parse(file.path.name, read_file(file, 1).content, 1_000_000).title
        except DocumentError as error:
            reasons[file.path.name] = str(error)
    assert reasons["outside.md"] == "a link that leads out of docs"
    assert reasons["inside.md"] == "inside"
    assert "cannot be read" in reasons["loop.md"]


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    """A pipe in a folder is not waited for, and a folder with a document's name is not read."""
    os.mkfifo(tmp_path / "pipe.md")
    (file,) = find_files(tmp_path)
    with pytest.raises(DocumentError, match="not a file"):
        read_file(file, 1)


def test_hidden_and_foreign_files_are_left_out_of_a_folder(tmp_path: Path) -> None:
    """Walking a folder finds what can be read, in order, by the path that was given, and counts the rest."""
    for name in ("b.md", "a.txt", ".hidden.md", "image.png", ".git/x.md", "sub/c.markdown"):
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("text")
    left_out: Counter[str] = Counter()
    found = [file.source for file in find_files(tmp_path / "docs" / "sub" / "..", left_out)]
    assert left_out == {".png": 1}
    assert found == [str(tmp_path / "docs" / name) for name in ("a.txt", "b.md", "sub/c.markdown")]
