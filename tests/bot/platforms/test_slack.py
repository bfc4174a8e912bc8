"""A question on Slack from the mention to the answer, with a bot, a queue and a fake Slack that are real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bot.conftest import MakeSettings
from tests.bot.platforms.slack_stage import TIME_SCALE, serving, shown, slack_settings
from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack_clients import remove_proxies


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlack]:
    """A fake Slack on which everything is faster."""
    remove_proxies(monkeypatch)
    with FakeSlack(time_scale=TIME_SCALE, rules=Rules(ack_timeout_s=1.0)) as server:
        yield server


async def test_a_mention_is_answered_in_its_thread(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """A mention and its twin get one answer in the thread, with sources and buttons, and no event stays open."""
    async with serving(fake, make_settings(slack=slack_settings(fake)), partials=("You", "You asked: how")):
        asked = fake.happen("app_mention", text="how many days?")
        (answer,) = await shown(fake, asked)
        assert "You asked: how many days?" in answer.shown
        assert "handbook/holidays.md" in answer.shown
        assert answer.buttons == ["fennel_feedback"]
        await fake.eventually(lambda: not fake.unacked_events())
    assert fake.sends_above_rate() == []
