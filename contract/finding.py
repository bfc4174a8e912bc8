"""A finding: one thing that somebody looked at, how it stands, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What `fennel doctor` shows a line of.

    Attributes:
        subject: what was looked at, in two or three words: "bot token", "disk".
        is_well: whether it is as it should be.
        says: what was seen, in one sentence. Never a secret.
        cure: what to do or the command that mends it, in one sentence; empty when all is well.
    """

    subject: str
    is_well: bool
    says: str
    cure: str = ""
