"""Parsing: from a file's bytes to a document's title and sections."""

from __future__ import annotations

import importlib
import zipfile
from functools import cache
from pathlib import PurePath

from workers.knowledge.document import DocumentError, Section
from workers.knowledge.kind import Kind, kind_by_name, kind_of
from workers.knowledge.reader import Reader, Reading

UNPACKED_TIMES = 10
"""A package may unpack to this many times knowledge.max_file_mb."""


def parse(name: str, content: bytes, max_unpacked_bytes: int) -> Reading:
    """Read a file of any kind, in this very process; raises DocumentError with the reason where it cannot be read.

    Strangers' files are read by this in the parsing process alone.
    """
    kind = kind_of(name, content, max_unpacked_bytes)
    try:
        reading = reader_of(kind).read(content, name)
    except DocumentError:
        raise
    except RecursionError as error:
        raise DocumentError("is nested too deeply") from error
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, AttributeError, LookupError, OSError) as error:
        raise DocumentError(f"is damaged, or not {kind.called}: {_said(error)}") from error
    except MemoryError:
        raise
    except Exception as error:  # libraries have errors of their own for what strangers write
        raise DocumentError(f"breaks the library that reads it ({type(error).__name__}: {_said(error)})") from error
    sections = tuple(_cleaned(section) for section in reading.sections)
    sections = tuple(section for section in sections if section.blocks)
    if not sections:
        raise DocumentError("has no text")
    stem = PurePath(name).stem.replace("_", " ").replace("-", " ").strip()
    return Reading(" ".join(reading.title.split()) or stem, sections, reading.note)


def load(name: str) -> None:
    """Import what reads files of this name, for a process that will not be able to open modules any more."""
    kind = kind_by_name(name)
    if kind is None:
        return
    reader_of(kind).prepare()
    if kind.name == "code":
        from workers.knowledge.readers.source_code import load as load_grammar

        load_grammar(PurePath(name).suffix.lower())


@cache
def reader_of(kind: Kind) -> Reader:
    """The reader of a kind; its module, with the library that it needs, is imported now."""
    module, _, name = kind.reader.partition(":")
    reader: Reader = getattr(importlib.import_module(module), name)()
    return reader


def _cleaned(section: Section) -> Section:
    heading = tuple(name for one in section.heading if (name := " ".join(one.split())))
    return Section(heading, tuple(block for block in section.blocks if block.strip()), section.page)


def _said(error: Exception) -> str:
    said = " ".join(str(error).split())
    return f"{said[:120] or type(error).__name__}"
