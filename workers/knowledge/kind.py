"""Kinds of files: what a file is, told by its content, and whether its name says the same."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import PurePath

from workers.knowledge.document import DocumentError

_READERS = "workers.knowledge.readers"
_MOST_ENTRIES = 10_000
_HEAD_BYTES = 1024
_OFFICE_CONTAINER = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_STREAM = "EncryptedPackage".encode("utf-16-le")
_PAGE_BEGINS = (b"<!doctype html", b"<html")
_ZIP_BEGIN = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file that is read. `reader` is the module and class; `called` says it to a person."""

    name: str
    called: str
    suffixes: tuple[str, ...]
    reader: str
    is_text: bool = True


KINDS = (
    Kind("markdown", "Markdown", (".md", ".markdown"), f"{_READERS}.markdown:MarkdownReader"),
    Kind("text", "text", (".txt", ".text"), f"{_READERS}.text:TextReader"),
    Kind("rst", "reStructuredText", (".rst",), f"{_READERS}.restructuredtext:RestructuredTextReader"),
    Kind("html", "HTML", (".html", ".htm", ".xhtml"), f"{_READERS}.html:HtmlReader"),
    Kind("pdf", "a PDF", (".pdf",), f"{_READERS}.pdf:PdfReader", is_text=False),
    Kind("docx", "a Word document", (".docx",), f"{_READERS}.docx:DocxReader", is_text=False),
    Kind("pptx", "a PowerPoint presentation", (".pptx",), f"{_READERS}.pptx:PptxReader", is_text=False),
    Kind("xlsx", "an Excel workbook", (".xlsx",), f"{_READERS}.spreadsheet:XlsxReader", is_text=False),
    Kind("csv", "separated values", (".csv", ".tsv"), f"{_READERS}.spreadsheet:CsvReader"),
    Kind("jsonl", "JSON Lines", (".jsonl",), f"{_READERS}.question_answer:JsonlPairsReader"),
    Kind("notebook", "a Jupyter notebook", (".ipynb",), f"{_READERS}.notebook:NotebookReader"),
    Kind(
        "code",
        "source code",
        (
            *(".py", ".pyi", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".go", ".java", ".c", ".h", ".cc", ".cpp"),
            *(".cxx", ".hpp", ".rs", ".rb", ".cs", ".php", ".sh", ".bash"),
        ),
        f"{_READERS}.source_code:SourceCodeReader",
    ),
)
"""Every kind of file that is read."""

_BY_NAME = {kind.name: kind for kind in KINDS}
_BY_SUFFIX = {suffix: kind for kind in KINDS for suffix in kind.suffixes}
_OLD_OFFICE = {".doc": ".docx", ".ppt": ".pptx", ".xls": ".xlsx"}
_OFFICE_PARTS = (("word/document", "docx"), ("ppt/presentation", "pptx"), ("xl/workbook", "xlsx"))


def kind_by_name(name: str) -> Kind | None:
    """The kind that a file's name says; None for a name that says none."""
    return _BY_SUFFIX.get(PurePath(name).suffix.lower())


def is_wanted(name: str) -> bool:
    """Whether a file of this name is taken in from a folder: it may be read, or its owner should hear why it is not."""
    return kind_by_name(name) is not None or PurePath(name).suffix.lower() in _OLD_OFFICE


def kind_of(name: str, content: bytes, max_unpacked_bytes: int) -> Kind:
    """What a file is. Raises DocumentError where its name says another thing, or where it is nothing that is read."""
    if not content.strip():
        raise DocumentError("is empty")
    suffix = PurePath(name).suffix.lower()
    named = _BY_SUFFIX.get(suffix)
    found = _by_content(content, suffix, max_unpacked_bytes)
    if named is None:
        return found or _BY_NAME["text"]
    if found is None and named.is_text:
        return named
    if found is None:
        raise DocumentError(f"is called {suffix} but holds no {named.called.split(' ', 1)[-1]}, only text")
    if found is not named:
        raise DocumentError(f"is called {suffix} but is {found.called}: give it the right name")
    return named


def _by_content(content: bytes, suffix: str, max_unpacked_bytes: int) -> Kind | None:
    """The kind that the content shows; None for text, whose kind is told by the name alone."""
    head = content[:_HEAD_BYTES]
    if b"%PDF-" in head and not head.lstrip()[:1].isalpha():
        return _BY_NAME["pdf"]
    if content.startswith(_ZIP_BEGIN):
        return _office_kind(content, suffix, max_unpacked_bytes)
    if content.startswith(_OFFICE_CONTAINER):
        if _ENCRYPTED_STREAM in content:
            raise DocumentError("is encrypted: save it without a password")
        wanted = _OLD_OFFICE.get(suffix, "a newer format")
        raise DocumentError(f"is of the Office format before 2007: save it as {wanted}")
    if head.lstrip().lower().startswith(_PAGE_BEGINS):
        return _BY_NAME["html"]
    if b"\x00" in content and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DocumentError(_binary(content, suffix))
    return None


def _office_kind(content: bytes, suffix: str, max_unpacked_bytes: int) -> Kind:
    """Look into a package without unpacking it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as package:
            entries = package.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DocumentError("is damaged: its package cannot be opened") from error
    if any(entry.flag_bits & 1 for entry in entries):
        raise DocumentError("is encrypted: save it without a password")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > max_unpacked_bytes or len(entries) > _MOST_ENTRIES:
        raise DocumentError(
            f"unpacks to {unpacked // 1_000_000} MB in {len(entries)} parts, more than is allowed "
            f"({max_unpacked_bytes // 1_000_000} MB, ten times knowledge.max_file_mb)"
        )
    for begin, name in _OFFICE_PARTS:
        if any(entry.filename.startswith(begin) for entry in entries):
            return _BY_NAME[name]
    raise DocumentError(f"is {_called(suffix)}a ZIP archive: unpack it, and add what is in it")


def _binary(content: bytes, suffix: str) -> str:
    import puremagic  # only for the word in the reason

    try:
        name = puremagic.from_string(content[:8192])
    except (puremagic.PureError, ValueError):
        name = ""
    return f"is {_called(suffix)}a file of the kind {name}" if name else "is binary, not text"


def _called(suffix: str) -> str:
    return f"called {suffix} but is " if suffix in _BY_SUFFIX else ""
