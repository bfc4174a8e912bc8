"""Shorter waits for bots that are started and stopped once a test, and the fake Slack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot import answer_stream, partial_stream
from tests.bot.platforms.slack_stage import TIME_SCALE
from tests.fakes.slack import FakeSlack
from tests.fakes.slack_clients import remove_proxies


@pytest.fixture(autouse=True)
def _streams_are_left_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bot that stops waits for its blocking reads to come back: let them block for less."""
    monkeypatch.setattr(answer_stream, "BLOCK_MS", 50)
    monkeypatch.setattr(partial_stream, "BLOCK_MS", 50)


@pytest.fixture
def fake(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlack]:
    """A fake Slack on which everything is faster, by the RULES of the test's file."""
    remove_proxies(monkeypatch)
    with FakeSlack(time_scale=TIME_SCALE, rules=request.module.RULES) as server:
        yield server
