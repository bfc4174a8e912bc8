"""A fake Slack, a bot on it, and somebody who answers: the stage of the end-to-end tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

import redis.asyncio

from bot.chat_event import ChatEvent
from bot.chat_message import ChatMessage
from bot.inbox import InboxError
from bot.platforms.slack import SlackPlatform
from bot.redis_link import plain_client
from bot.reply_slot import AtStep, go_on
from config.redis_address import RedisAddress
from config.settings import Settings
from contract.answer import Citation, FinalAnswer, Outcome
from contract.question import Question
from tests.bot.answering import CITATION, echo, finish, take
from tests.bot.conftest import running_bot
from tests.fakes.slack import FakeSlack
from tests.fakes.slack.fake import VisibleMessage
from tests.fakes.slack.workspace import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET

Script = Callable[[redis.asyncio.Redis, Question], Coroutine[Any, Any, None]]

TIME_SCALE = 0.02
"""A minute of Slack's lasts 1.2 s, a stream 6 s."""

BROKEN_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("ratelimited", {"retry_after_s": 1}),
    ("http", {"status": 500}),
    ("http", {"status": 500, "commit": True}),
    ("http", {"status": 502}),
    ("http", {"status": 503, "commit": True}),
    ("broken_json", {"commit": True}),
    ("broken_json", {}),
    ("drop", {}),
    ("drop", {"commit": True}),
    ("slow", {"delay_s": 1.2}),
    ("error", {"error": "internal_error"}),
]
"""The ways in which a call can break; with `commit` Slack has carried it out before."""
BROKEN_IDS = [f"{name}-{'-'.join(map(str, detail.values()))}" for name, detail in BROKEN_CALLS]


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
        "settle_s": 0.15,
    }
    return SlackPlatform(settings.slack, **(times | options))


class Receiver:
    """Takes chat events in place of a bot; raises as often as `broken` says."""

    def __init__(self) -> None:
        self.events: list[ChatEvent] = []
        self.broken = 0
        self.listening: asyncio.Task[None]

    async def receive(self, event: ChatEvent) -> None:
        """Write the event down."""
        if self.broken:
            self.broken -= 1
            raise InboxError("Redis is away")
        self.events.append(event)

    def texts(self) -> list[str]:
        """What the messages say, each once, in the order in which they came."""
        return list(dict.fromkeys(event.text for event in self.events if isinstance(event, ChatMessage)))


def events_url(platform: SlackPlatform) -> str:
    """Where HTTP mode listens, once it does."""
    return platform.webhook.url if platform.webhook else ""


@contextlib.asynccontextmanager
async def listening(fake: FakeSlack, platform: SlackPlatform) -> AsyncIterator[Receiver]:
    """A platform that listens while the block runs, without a bot behind it."""
    receiver = Receiver()
    task = receiver.listening = asyncio.create_task(platform.listen(receiver.receive))
    try:
        await fake.eventually(lambda: task.done() or fake.connected() or events_url(platform))
        if task.done():
            task.result()
        yield receiver
    finally:
        await platform.close()
        await asyncio.wait([task])


@contextlib.asynccontextmanager
async def scripted(address: RedisAddress, script: Script) -> AsyncIterator[None]:
    """Work on each question as the script says, several at a time, while the block runs."""
    stopping = asyncio.Event()

    async def work() -> None:
        async with plain_client(replace(address, user="", password="")) as client, asyncio.TaskGroup() as tasks:
            begun = []
            while not stopping.is_set():
                question = await take(client)
                if question is None:
                    await asyncio.sleep(0.005)
                else:
                    begun.append(tasks.create_task(script(client, question)))
            for one in begun:
                one.cancel()

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        # The Redis client may swallow a cancellation that comes with an answer: the loop is told instead.
        stopping.set()
        await task


def answered(question: Question, text: str, citations: tuple[Citation, ...] = (CITATION,)) -> FinalAnswer:
    """The end of a question, with this text."""
    return FinalAnswer(question.to_wire(), Outcome.ANSWERED, text, citations)


async def echoes(client: redis.asyncio.Redis, question: Question) -> None:
    """Answer with the question's own words."""
    await finish(client, echo(question))


@contextlib.asynccontextmanager
async def serving(
    fake: FakeSlack,
    settings: Settings,
    script: Script | None = None,
    at_step: AtStep = go_on,
    **options: Any,
) -> AsyncIterator[SlackPlatform]:
    """A bot and a small worker, connected, while the block runs; without a script the worker echoes."""
    platform = slack_platform(settings, **options)
    worker = scripted(settings.redis_address, script or echoes)
    async with worker, running_bot(platform, settings, at_step):
        if settings.slack.mode == "http":
            await fake.eventually(lambda: events_url(platform))
            await happen(fake, "subscribe_url", url=events_url(platform))
        else:
            await fake.eventually(lambda: fake.connected() >= 1)
        yield platform
        if settings.slack.mode == "http":
            await happen(fake, "subscribe_url", url=None)


async def happen(fake: FakeSlack, what: str, **detail: Any) -> dict[str, Any]:
    """Let something happen that waits for the bot, which runs in this loop."""
    return await asyncio.to_thread(fake.happen, what, **detail)


async def shown(
    fake: FakeSlack, asked: dict[str, Any], count: int = 1, *, ends: int | None = None, timeout_s: float = 15
) -> list[VisibleMessage]:
    """Our messages in the thread of what was asked, once there are `count`, and `ends` of them end an answer.

    An answer's end has buttons; what else ends a question has none, and `ends` is 0 for that.
    """

    def look() -> list[VisibleMessage] | None:
        answers = fake.answers(asked["channel"], asked.get("thread_ts") or asked["ts"])
        ended = [one for one in answers if one.buttons and one.stream_state != "streaming"]
        return answers if len(answers) >= count and len(ended) >= (count if ends is None else ends) else None

    found = await fake.eventually(look, timeout_s)
    assert found is not None
    return found


def entered(fake: FakeSlack, method: str) -> list[dict[str, Any]]:
    """The arguments of each call of a method, in order."""
    return [line.payload for line in fake.journal if line.direction == "in" and line.kind == method]
