"""Plain text: paragraphs with empty lines between them."""

from __future__ import annotations

import re

from workers.knowledge.document import Section
from workers.knowledge.encoding import decode
from workers.knowledge.reader import Reader, Reading


class TextReader(Reader):
    """Reads plain text."""

    def read(self, content: bytes, name: str) -> Reading:  # noqa: ARG002 -- the interface names it
        """One section with all paragraphs."""
        blocks = tuple(block.strip() for block in re.split(r"\n\s*\n", decode(content)) if block.strip())
        return Reading("", (Section((), blocks),))
