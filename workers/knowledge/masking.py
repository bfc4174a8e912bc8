"""Masking: nothing that looks like a key comes into a knowledge base."""

from __future__ import annotations

from dataclasses import replace

from config.secrets import mask_secrets, may_hold_secrets
from workers.knowledge.document import Section
from workers.knowledge.reader import Reading


def without_secrets(reading: Reading) -> tuple[tuple[Section, ...], str]:
    """The sections without what looks like a key, which nobody is to be answered with, and the note that says so."""
    said = (part for section in reading.sections for part in (*section.heading, *section.blocks))
    if not may_hold_secrets("\n".join(said)):
        return reading.sections, reading.note
    masked = tuple(
        replace(
            section,
            heading=tuple(map(mask_secrets, section.heading)),
            blocks=tuple(map(mask_secrets, section.blocks)),
        )
        for section in reading.sections
    )
    if masked == reading.sections:
        return masked, reading.note
    return masked, "; ".join(filter(None, (reading.note, "what looks like a key was masked")))
