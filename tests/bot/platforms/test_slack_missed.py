"""What was said while the bot was away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.bot.conftest import MakeSettings
from tests.bot.platforms.slack_stage import (
    TIME_SCALE,
    entered,
    listening,
    serving,
    shown,
    slack_platform,
    slack_settings,
)
from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack_clients import remove_proxies


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlack]:
    """A fake Slack that gives up an event after a few tries at once."""
    remove_proxies(monkeypatch)
    with FakeSlack(time_scale=TIME_SCALE, rules=Rules(ack_timeout_s=1.0, retry_delays_s=(0.0,))) as server:
        yield server


def all_lost(fake: FakeSlack) -> bool:
    """Whether Slack has given up everything."""
    return all(delivery.state == "lost" for delivery in fake.deliveries.all)


async def test_missed_questions_are_answered_once(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """Questions that Slack had given up are found after a start and answered; a second start changes nothing."""
    asked = [
        fake.happen("app_mention", text="one?"),
        fake.happen("app_mention", channel="G1", text="two?"),
        fake.happen("dm", text="three?"),
    ]
    fake.happen("message", text="not for us")
    reply = fake.happen("app_mention", text="four?", thread_ts=fake.happen("message", text="a talk")["ts"])
    await fake.eventually(lambda: all_lost(fake))
    settings = make_settings(slack=slack_settings(fake, read_back_s=60.0))
    async with serving(fake, settings):
        for one in asked:
            assert len(await shown(fake, one)) == 1
        thread = fake.visible_messages("C1")[-1].ts
        (answer,) = await shown(fake, {**reply, "thread_ts": thread})
        assert "four?" in answer.shown
    reads = len(entered(fake, "conversations.history"))
    async with serving(fake, settings):
        await fake.eventually(lambda: len(entered(fake, "conversations.history")) == 2 * reads)
        await shown(fake, fake.happen("app_mention", text="five?"))
    assert [len(fake.answers(one["channel"], one["ts"])) for one in asked] == [1, 1, 1]
    assert len(fake.answers("C1", thread)) == 1
    assert fake.sends_above_rate() == []


async def test_only_the_last_minutes_are_read_back(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """What is older than the time to read back is left alone, and so are channels that we are not in."""
    fake.happen("app_mention", text="old?", ts="1700000000.000100")
    fake.happen("channel", channel="C9", is_member=False)
    fake.happen("app_mention", channel="C9", text="elsewhere?")
    fake.happen("app_mention", text="new?")
    await fake.eventually(lambda: all_lost(fake))
    platform = slack_platform(make_settings(slack=slack_settings(fake, read_back_s=60.0)))
    async with listening(fake, platform) as receiver:
        await fake.eventually(lambda: len(entered(fake, "conversations.history")) == 3)
        await fake.eventually(lambda: receiver.texts())
        assert receiver.texts() == ["new?"]


@pytest.mark.parametrize("method", ["users.conversations", "conversations.history"])
@pytest.mark.parametrize(
    ("fault", "detail"), [("error", {"error": "missing_scope"}), ("http", {"status": 500}), ("ratelimited", {})]
)
async def test_reading_back_stops_nothing(
    fake: FakeSlack, make_settings: MakeSettings, method: str, fault: str, detail: dict[str, object]
) -> None:
    """Where Slack does not let us read back, new questions are taken all the same."""
    fake.fail(method, fault, times=5, **detail)
    platform = slack_platform(make_settings(slack=slack_settings(fake, read_back_s=60.0)))
    async with listening(fake, platform) as receiver:
        await fake.eventually(lambda: entered(fake, method))
        fake.happen("app_mention", text="how?")
        await fake.eventually(lambda: not fake.unacked_events())
        assert "how?" in receiver.texts()


async def test_nothing_is_read_back_where_that_is_switched_off(fake: FakeSlack, make_settings: MakeSettings) -> None:
    """With read_back_s at 0, Slack is not asked."""
    platform = slack_platform(make_settings(slack=slack_settings(fake)))
    async with listening(fake, platform):
        fake.happen("app_mention", text="how?")
        await fake.eventually(lambda: not fake.unacked_events())
    assert entered(fake, "users.conversations") == []
