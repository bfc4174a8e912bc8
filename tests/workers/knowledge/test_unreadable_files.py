"""Files that cannot be read, each with its reason."""

from __future__ import annotations

import io
import zipfile

import pytest

from tests.workers.knowledge.documents import DOCUMENTS, REASONS, UNPACKED_BYTES
from workers.knowledge.document import DocumentError
from workers.knowledge.parse import parse


@pytest.mark.parametrize("name", sorted(REASONS))
def test_each_bad_file_has_its_reason(name: str) -> None:
    """A file that cannot be read says why in one sentence, and what to do where something can be done."""
    with pytest.raises(DocumentError) as caught:
        parse(name, (DOCUMENTS / "bad" / name).read_bytes(), UNPACKED_BYTES)
    assert str(caught.value) == REASONS[name]


def test_every_bad_file_is_tested() -> None:
    """No file of the folder is without its reason."""
    assert sorted(path.name for path in (DOCUMENTS / "bad").iterdir()) == sorted(REASONS)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.pdf", b"just text", "is called .pdf but holds no PDF, only text"),
        ("a.html", b"<div>" * 100_000, "is nested too deeply"),
        ("a.txt", b" \n\t\n", "is empty"),
        ("a.md", b"# Only a heading\n", "has no text"),
        ("a.csv", b"\n\n,,\n", "has no text"),
        ("a.ipynb", b'{"cells": 7}', "is no Jupyter notebook: it has no cells"),
        ("a.ipynb", b"[" * 100_000, "is nested too deeply"),
        ("a.zip", b"PK\x03\x04", "is damaged: its package cannot be opened"),
        ("a.xlsx", b"\x89PNG\r\n\x1a\n\x00\x00", "is called .xlsx but is a file of the kind .png"),
    ],
)
def test_rubbish_has_its_reason_too(name: str, content: bytes, reason: str) -> None:
    """Whatever the bytes are, there is a sentence."""
    with pytest.raises(DocumentError) as caught:
        parse(name, content, UNPACKED_BYTES)
    assert str(caught.value) == reason


@pytest.mark.parametrize(("part", "suffix"), [("xl/workbook.xml", ".xlsx"), ("word/document.xml", ".docx")])
def test_a_package_with_a_part_that_is_no_xml_is_refused(part: str, suffix: str) -> None:
    """The libraries have errors of their own for it, which are told as the file's."""
    good = next(file for file in sorted((DOCUMENTS / "good").iterdir()) if file.suffix == suffix)
    whole = io.BytesIO()
    with zipfile.ZipFile(good) as package, zipfile.ZipFile(whole, "w") as broken:
        for name in package.namelist():
            broken.writestr(name, b"no xml <" if name == part else package.read(name))
    with pytest.raises(DocumentError, match=r"is damaged|breaks the library that reads it"):
        parse(f"a{suffix}", whole.getvalue(), UNPACKED_BYTES)
