"""Shorter waits for bots that are started and stopped once a test."""

from __future__ import annotations

import pytest

from bot import answer_stream, partial_stream


@pytest.fixture(autouse=True)
def _streams_are_left_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot that stops waits for its blocking reads to come back: let them block for less."""
    monkeypatch.setattr(answer_stream, "BLOCK_MS", 50)
    monkeypatch.setattr(partial_stream, "BLOCK_MS", 50)
