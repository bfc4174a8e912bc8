"""The link as health tells it."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from bot import link
from bot.link import Link


def test_a_link_is_well_while_it_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting, down and silent for too long are each told; a frame mends it."""
    one, now_s = Link("slack"), [1000.0]
    monkeypatch.setattr("bot.link.time.monotonic", lambda: now_s[0])
    stands = [one.finding()]
    one.seen()
    stands.append(one.finding())
    now_s[0] += link.STALE_AFTER_S + 1
    stands.append(one.finding())
    one.down()
    stands.append(one.finding())

    assert [stand.is_well for stand in stands] == [False, True, False, False]
    assert ["connecting" in stands[0].says, "91 s" in stands[2].says, "is down" in stands[3].says] == [True] * 3
    assert REGISTRY.get_sample_value("fennel_link_up", {"platform": "slack"}) == 0


def test_a_link_that_waits_for_calls_may_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform that calls us says nothing while nobody writes."""
    one, now_s = Link("lark"), [1000.0]
    monkeypatch.setattr("bot.link.time.monotonic", lambda: now_s[0])
    one.listens()
    now_s[0] += 10_000

    assert one.finding().is_well


def test_coming_up_is_told_once() -> None:
    """What was wrong before is forgotten when the link comes up, not at each frame."""
    one, told = Link("wecom"), []
    one.on_up = lambda: told.append(1)
    for _ in range(3):
        one.seen()
    one.down()
    one.seen()

    assert len(told) == 2
