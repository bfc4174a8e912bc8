"""A knowledge base: documents that are searched together, under a name."""

from __future__ import annotations

import re

from workers.knowledge.document import KnowledgeError

DEFAULT_BASE = "default"
"""The knowledge base of whoever names none."""
MAX_NAME_CHARACTERS = 64
_NAME = re.compile(r"[\w-]+")


def check_base_name(name: str) -> str:
    """The name; raises KnowledgeError for one that no knowledge base can have."""
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_CHARACTERS:
        raise KnowledgeError(
            f"a knowledge base cannot be called {name!r}: letters, digits, - and _, "
            f"at most {MAX_NAME_CHARACTERS} of them"
        )
    return name
