"""A fake Slack, a bot on it, and somebody who answers: the stage of the end-to-end tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from bot.platforms.slack import SlackPlatform
from bot.reply_slot import AtStep, go_on
from config.settings import Settings
from tests.bot.answering import Answer, answering, echo
from tests.bot.conftest import running_bot
from tests.fakes.slack import FakeSlack
from tests.fakes.slack.fake import VisibleMessage
from tests.fakes.slack.workspace import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET

TIME_SCALE = 0.02
"""A minute of Slack's lasts 1.2 s, a stream 6 s."""


def slack_settings(fake: FakeSlack, **changed: Any) -> dict[str, Any]:
    """The section of the settings that points a bot at the fake."""
    return {
        "bot_token": BOT_TOKEN,
        "app_token": APP_TOKEN,
        "signing_secret": SIGNING_SECRET,
        "api_url": f"{fake.url}/api/",
        "link_timeout_s": 2.0,
        "read_back_s": 0.0,
        "http_port": 0,
    } | changed


def slack_platform(settings: Settings, **options: Any) -> SlackPlatform:
    """The platform with Slack's times shrunk like the fake's."""
    times: dict[str, Any] = {
        "minute_s": 60 * TIME_SCALE,
        "rotate_after_s": 230 * TIME_SCALE,
        "ping_interval_s": 0.5,
        "timeout_s": 1.0,
        "settle_s": 0.3,
    }
    return SlackPlatform(settings.slack, **(times | options))


@contextlib.asynccontextmanager
async def serving(
    fake: FakeSlack,
    settings: Settings,
    answer: Answer = echo,
    partials: tuple[str, ...] = (),
    at_step: AtStep = go_on,
    **options: Any,
) -> AsyncIterator[SlackPlatform]:
    """A bot and a small worker, connected, while the block runs."""
    platform = slack_platform(settings, **options)
    async with answering(settings.redis_url, answer, partials), running_bot(platform, settings, at_step):
        if settings.slack.mode == "http":
            await fake.eventually(lambda: platform.events_url)
            fake.happen("subscribe_url", url=platform.events_url)
        else:
            await fake.eventually(lambda: fake.connected() >= 1)
        yield platform
        if settings.slack.mode == "http":
            fake.happen("subscribe_url", url=None)


async def shown(fake: FakeSlack, asked: dict[str, Any], count: int = 1, timeout_s: float = 15) -> list[VisibleMessage]:
    """Our messages in the thread of what was asked, once there are `count` that end in what `is_end` wants."""

    def look() -> list[VisibleMessage] | None:
        answers = fake.answers(asked["channel"], asked.get("thread_ts") or asked["ts"])
        done = [one for one in answers if is_end(one)]
        return answers if len(done) >= count else None

    found = await fake.eventually(look, timeout_s)
    assert found is not None
    return found


def is_end(message: VisibleMessage) -> bool:
    """Whether a message says how its question ended, and will not change any more."""
    return message.metadata is not None and message.stream_state != "streaming"


async def settled(fake: FakeSlack, look: Callable[[], Any], quiet_s: float = 0.3) -> Any:
    """What `look()` gives once nothing was written into the fake's journal but pings for `quiet_s`."""
    while True:
        lines = [line for line in fake.journal if line.kind != "ping"]
        await asyncio.sleep(quiet_s)
        if len(lines) == len([line for line in fake.journal if line.kind != "ping"]):
            return look()
