"""HTTP mode: Slack calls us, and whoever else does is turned away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
import redis.asyncio

from bot.platform import LinkDeadError
from bot.platforms.slack import SlackPlatform
from contract import names
from tests.bot.conftest import MakeSettings
from tests.bot.platforms.slack_stage import (
    TIME_SCALE,
    events_url,
    happen,
    listening,
    serving,
    shown,
    slack_platform,
    slack_settings,
)
from tests.fakes.slack import FakeSlack, Rules
from tests.fakes.slack_clients import remove_proxies

EVENT = {"type": "event_callback", "team_id": "T1", "event_id": "Ev1"}
MENTION = {"type": "app_mention", "channel": "C1", "user": "U2", "text": "<@UBOT> how?", "ts": "1700000000.000100"}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlack]:
    """A fake Slack on which everything is faster."""
    remove_proxies(monkeypatch)
    with FakeSlack(time_scale=TIME_SCALE, rules=Rules(ack_timeout_s=1.0)) as server:
        yield server


@pytest.fixture
def platform(fake: FakeSlack, make_settings: MakeSettings) -> SlackPlatform:
    """A platform that listens on a loopback port."""
    return slack_platform(make_settings(slack=slack_settings(fake, mode="http", app_token="")))


async def test_a_mention_is_answered_over_http(
    fake: FakeSlack, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """The URL is verified, a mention and its twin get one answer, and a click is taken."""
    async with serving(fake, make_settings(slack=slack_settings(fake, mode="http", app_token=""))):
        asked = fake.happen("app_mention", text="how?")
        (answer,) = await shown(fake, asked)
        assert "You asked: how?" in answer.shown
        await fake.eventually(lambda: not fake.unacked_events())
        fake.happen("click", channel="C1", ts=answer.ts, user="U3")
        await fake.eventually(lambda: fake.deliveries.all[-1].state == "acked")
    assert fake.connected() == 0


@pytest.mark.parametrize(
    ("payload", "flaw", "status"),
    [
        ({**EVENT, "event": MENTION}, "bad_signature", 401),
        ({**EVENT, "event": MENTION}, "stale", 401),
        ({**EVENT, "event": MENTION}, "unsigned", 401),
        ('{"type": "event_callback", "event":', None, 400),
        ("[1, 2]", None, 400),
        ("not=json&payload={", None, 400),
        ({**EVENT, "event": "good:"}, None, 400),
        ({**EVENT, "team_id": {"text": []}, "event": 2**64}, None, 400),
        ("[" * 9_999, None, 400),
        ("[" * 9_999, "bad_signature", 401),
        ('{"type": "event_callback", "event":', "unsigned", 401),
        (json.dumps({**EVENT, "event": {**MENTION, "text": "x" * 1_010_000}}), None, 413),
    ],
    ids=[
        "forged",
        "stale",
        "unsigned",
        "cut off",
        "a list",
        "not JSON",
        "a word",
        "a number",
        "nested",
        "nested and forged",
        "cut off and unsigned",
        "oversized",
    ],
)
async def test_what_slack_did_not_say_is_refused(
    fake: FakeSlack,
    make_settings: MakeSettings,
    redis_client: redis.asyncio.Redis,
    payload: Any,
    flaw: str | None,
    status: int,
) -> None:
    """Forged, stale, unsigned, broken and oversized requests get 4xx, and leave neither a job nor an open question."""
    async with serving(fake, make_settings(slack=slack_settings(fake, mode="http", app_token=""))) as platform:
        answer = await happen(fake, "http", url=events_url(platform), payload=payload, flaw=flaw)
        assert answer["status"] == status
        assert [key async for key in redis_client.scan_iter("rq:job:*")] == []
        assert not await redis_client.exists(names.open_key("slack"), names.QUEUE_KEY)


async def test_only_posts_to_the_path_are_taken(fake: FakeSlack, platform: SlackPlatform) -> None:
    """Other methods and other paths are nothing."""
    async with listening(fake, platform), aiohttp.ClientSession() as session:
        async with session.get(events_url(platform)) as response:
            assert response.status == 405
        async with session.post(events_url(platform).replace("/slack/events", "/other")) as response:
            assert response.status == 404


async def test_what_could_not_be_taken_is_not_acknowledged(fake: FakeSlack, platform: SlackPlatform) -> None:
    """While Redis is away Slack gets an error, and delivers again."""
    async with listening(fake, platform) as receiver:
        await happen(fake, "subscribe_url", url=events_url(platform))
        receiver.broken = 1
        asked = fake.happen("app_mention", text="how?", twin=False)
        await fake.eventually(lambda: not fake.unacked_events())
        assert receiver.texts() == ["how?"]
        (delivery,) = [one for one in fake.deliveries.all if one.event_id == asked["event_ids"][0]]
        assert [attempt.failure for attempt in delivery.attempts] == ["http_error", None]


async def test_a_port_in_use_is_told(fake: FakeSlack, make_settings: MakeSettings, platform: SlackPlatform) -> None:
    """A second bot on the same port ends with a sentence."""
    async with listening(fake, platform) as receiver:
        port = int(events_url(platform).split(":")[2].split("/")[0])
        second = slack_platform(make_settings(slack=slack_settings(fake, mode="http", http_port=port)))
        with pytest.raises(
            LinkDeadError, match=f"cannot listen at 127.0.0.1:{port} for slack .* FENNEL_SLACK__HTTP_PORT"
        ):
            await second.listen(receiver.receive)
        await second.close()
