"""A document: one file of a team's, read into sections of blocks, or a reason why it cannot be."""

from __future__ import annotations

from dataclasses import dataclass

from contract.errors import FennelError
from workers.knowledge.words import Language


class KnowledgeError(FennelError):
    """A document or an index that cannot be used."""


class DocumentError(KnowledgeError):
    """This document cannot be read; the sentence is its reason in the table of `fennel kb add`."""


@dataclass(frozen=True, slots=True)
class Section:
    """What stands below one heading. `heading` is the path of headings to it, without the document's title.

    A block is a paragraph, a list, a table in Markdown's form, or code between fences.
    `page` counts from 1 and is 0 where the document has no pages.
    """

    heading: tuple[str, ...]
    blocks: tuple[str, ...]
    page: int = 0


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
