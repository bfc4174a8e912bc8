"""A home folder with one document in its knowledge base, for workers that are started on it."""

from __future__ import annotations

from pathlib import Path

from tests.workers.knowledge.base import KnowledgeBase
from workers.knowledge.embedders.use_multilingual import UseMultilingual

DOCUMENT = """# Tide gauges

## North pier

The gauge at the north pier is read every six minutes and calibrated in May.
"""
QUESTION = "How often is the gauge at the north pier read?"


def add_document(home: Path) -> None:
    """Put the document into the home folder, and into the knowledge base there."""
    (home / "knowledge").mkdir(parents=True, exist_ok=True)
    (home / "tides.md").write_text(DOCUMENT)
    knowledge = KnowledgeBase(home / "knowledge", UseMultilingual())
    knowledge.add(home / "tides.md", passage_tokens=200)
    knowledge.store.close()
