"""A document: one file of a team's, read into sections of blocks, or a reason why it cannot be."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contract.errors import FennelError
from workers.knowledge.markdown import Section, markdown_sections
from workers.knowledge.words import Language, language_of

MARKDOWN_SUFFIXES = (".md", ".markdown")
TEXT_SUFFIXES = (".txt", ".text")
READABLE_SUFFIXES = MARKDOWN_SUFFIXES + TEXT_SUFFIXES
_BYTES_A_MB = 1_000_000
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+?)[ \t]*$", re.MULTILINE)
_CHINESE_MARKS = "，。、；：？！“”‘’（）《》—…￥·\u3000"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")


class KnowledgeError(FennelError):
    """A document or an index that cannot be used."""


class DocumentError(KnowledgeError):
    """This document cannot be read; the sentence is its reason in the table of `fennel kb add`."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was read. `source` is what an answer names: the path as it was given.

    `url` is where people open it; empty where they cannot.
    """

    source: str
    title: str
    language: Language
    sections: tuple[Section, ...]
    url: str = ""


@dataclass(frozen=True, slots=True)
class DocumentFile:
    """A file that may be a document: where it is, and what an answer calls it.

    `root` is the folder that was named, resolved; nothing outside it is read.
    """

    path: Path
    root: Path
    source: str

    @property
    def identity(self) -> str:
        """The same file is the same document, however its path was written."""
        return str(self.path.absolute())


def find_files(given: Path) -> Iterator[DocumentFile]:
    """The file, or every readable file below the folder; hidden ones and other kinds are left out."""
    source = Path(os.path.normpath(given))
    root = source.resolve()
    if not root.is_dir():
        # A file that was named is read wherever its link leads; it is not found by walking a folder.
        yield DocumentFile(root, root.parent, str(source))
        return
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            path = Path(folder) / name
            if not name.startswith(".") and path.suffix.lower() in READABLE_SUFFIXES:
                yield DocumentFile(path, root, str(source / path.relative_to(root)))


def read_bytes(file: DocumentFile, max_file_mb: int) -> bytes:
    """The file's content; raises DocumentError for one that must not or cannot be read."""
    if file.path.suffix.lower() not in READABLE_SUFFIXES:
        kinds = ", ".join(READABLE_SUFFIXES)
        raise DocumentError(f"a file of the kind {file.path.suffix or 'without a suffix'} is not read (only {kinds})")
    try:
        if not file.path.resolve(strict=True).is_relative_to(file.root):
            raise DocumentError(f"a link that leads out of {file.root.name}")
        if not file.path.is_file():
            raise DocumentError("not a file")
        limit = max_file_mb * _BYTES_A_MB
        with file.path.open("rb") as opened:
            content = opened.read(limit + 1)
    except FileNotFoundError as error:
        raise DocumentError("no such file") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself, before Python 3.13
        raise DocumentError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > limit:
        raise DocumentError(f"larger than {max_file_mb} MB (knowledge.max_file_mb)")
    return content


def parse(file: DocumentFile, content: bytes) -> Document:
    """Read a document out of its bytes; raises DocumentError where there is nothing to read."""
    text = decode(content)
    stem = file.path.stem.replace("_", " ").replace("-", " ").strip()
    title = ""
    if file.path.suffix.lower() in MARKDOWN_SUFFIXES:
        front = _FRONT_MATTER.match(text)
        if front:
            named = _FRONT_TITLE.search(front.group(1))
            title = named.group(1).strip("\"'") if named else ""
            text = text[front.end() :]
        heading, sections = markdown_sections(text)
        title = title or heading
    else:
        paragraphs = tuple(block.strip() for block in re.split(r"\n\s*\n", text) if block.strip())
        sections = (Section((), paragraphs),)
    sections = tuple(section for section in sections if section.blocks)
    if not sections:
        raise DocumentError("has no text")
    return Document(file.source, title or stem, language_of(text), sections)


def decode(content: bytes) -> str:
    """The text of a file: UTF-8, UTF-16 with its mark, or GB 18030 where it reads as Chinese."""
    if not content.strip():
        raise DocumentError("is empty")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _plain(_decoded(content, "utf-16"))
    if b"\x00" in content:
        raise DocumentError("is binary, not text")
    try:
        return _plain(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        text = _decoded(content, "gb18030")
    # Nearly any bytes are GB 18030 by accident (Latin-1 too), so it has to look like written Chinese.
    beyond_ascii = [character for character in text if ord(character) > 127]
    usual = sum(
        "\u4e00" <= character <= "\u9fff" or character in "，。、；：？！“”‘’（）《》—…￥　·"
        for character in beyond_ascii
    )
    if usual < 0.95 * len(beyond_ascii) or not _has_common_chinese(text):
        raise DocumentError("is neither UTF-8 nor GB 18030 text")
    return _plain(text)


def _has_common_chinese(text: str) -> bool:
    # Latin-1 text read as GB 18030 gives rare characters; real Chinese has one of these in every few sentences.
    common = sum(text.count(character) for character in "的一是不了在有和人这中大为上个到时用")
    chinese = sum("\u4e00" <= character <= "\u9fff" for character in text)
    return common * 50 >= chinese > 0


def _decoded(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DocumentError("is neither UTF-8 nor GB 18030 text") from error


def _plain(text: str) -> str:
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if not text.strip():
        raise DocumentError("has no text")
    return text
