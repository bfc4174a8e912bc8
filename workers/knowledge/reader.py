"""A reader: takes the bytes of one kind of file apart into a title and sections.

The implementations stand in `workers/knowledge/readers/`. They see strangers' files, so they run in the parsing
process alone (`parsing.py`), and find there no network, no other file and no more memory or time than was allowed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from workers.knowledge.document import Section


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file holds. `title` is empty where the file does not name itself.

    `note` says what of the file was not read, for the person who adds it; empty where all was.
    """

    title: str
    sections: tuple[Section, ...]
    note: str = ""


class Reader(ABC):
    """Reads files of one kind."""

    def prepare(self) -> None:  # noqa: B027 -- most have nothing to do
        """Import what its libraries would import when first used; afterwards no module can be opened any more."""

    @abstractmethod
    def read(self, content: bytes, name: str) -> Reading:
        """Read a file; `name` is its name without folders. Raises DocumentError with the reason where it cannot."""
