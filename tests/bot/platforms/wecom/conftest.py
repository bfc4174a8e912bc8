"""A WeCom on a quick clock, and a bot that serves it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import redis.asyncio

from bot.platforms.wecom.answer import AnswerTimes
from bot.platforms.wecom.callback import CallbackSettings, WeComCallback
from bot.platforms.wecom.callback_server import PATH
from bot.platforms.wecom.link import LinkTimes
from bot.platforms.wecom.long_connection import Limits, WeComLongConnection
from bot.platforms.wecom.pace import Rate
from bot.reply_slot import AtStep, go_on
from config.settings import Settings
from contract.question import Question
from tests.bot.answering import take
from tests.bot.conftest import running_bot, until
from tests.fakes.wecom import FakeWeCom, OpenPoints, ShownMessage, rules

GROUP = "wr_team"
USER = "zhang.san"
SCALE = 0.05
THINKING = "正在思考……"

MakeFake = Callable[..., FakeWeCom]


@pytest.fixture
def make_fake() -> Iterator[MakeFake]:
    """Start a fake WeCom; what the vendor leaves open is given by name."""
    with contextlib.ExitStack() as stack:

        def make(time_scale: float = SCALE, **points: Any) -> FakeWeCom:
            return stack.enter_context(FakeWeCom(time_scale=time_scale, points=OpenPoints(**points)))

        yield make


@pytest.fixture
def fake(make_fake: MakeFake) -> FakeWeCom:
    """A fake WeCom as the vendor describes it, twenty times as quick."""
    return make_fake()


@pytest.fixture(params=[True, False], ids=["refreshes count", "refreshes do not count"])
def either_count(make_fake: MakeFake, request: pytest.FixtureRequest) -> FakeWeCom:
    """A fake WeCom of either kind: the vendor does not say whether refreshes count towards the rate."""
    return make_fake(0.03, refreshes_count=request.param)


@pytest.fixture
def few_a_minute(monkeypatch: pytest.MonkeyPatch) -> int:
    """A WeCom that takes six messages a minute, so that a few questions reach the limit however slow the machine."""
    monkeypatch.setattr(rules, "SENDS_PER_MIN", 6)
    return 6


def limits(scale: float = SCALE, **link: float) -> Limits:
    """WeCom's limits on the fake's clock; how long our own work may take does not scale."""
    times = {"connect_s": 2.0, "answer_s": 0.7, "heartbeat_s": 5.0, "backoff_first_s": 0.05, "backoff_last_s": 0.2}
    return Limits(
        link=LinkTimes(**(times | link)),
        answer=AnswerTimes(stream_life_s=360 * scale, rotate_after_s=300 * scale),
        rate=Rate(rules.SENDS_PER_MIN, minute_s=60 * scale + 0.4, hour_s=3600 * scale + 0.4),
    )


def long_connection(fake: FakeWeCom, settings: Settings, **link: float) -> WeComLongConnection:
    """A bot's side of the fake's long connection."""
    return WeComLongConnection(
        fake.urls()["FENNEL_WECOM__WS_URL"],
        fake.account.bot_id,
        fake.account.secret,
        settings.redis_address,
        fake.account.bot_name,
        limits(fake.time_scale, **link),
    )


@contextlib.asynccontextmanager
async def linked_bot(
    fake: FakeWeCom, settings: Settings, at_step: AtStep = go_on, **link: float
) -> AsyncIterator[asyncio.Task[None]]:
    """A bot that is subscribed at the fake while the block runs."""
    async with running_bot(long_connection(fake, settings, **link), settings, at_step) as bot:
        await asyncio.to_thread(fake.wait_until_subscribed)
        yield bot


async def say(fake: FakeWeCom, text: str = "怎么部署？", **event: Any) -> str:
    """Somebody asks in the group; the message's id."""
    event.setdefault("chatid", GROUP)
    told = await asyncio.to_thread(lambda: fake.say(text, **event))
    return str(told["msgid"])


async def asked(fake: FakeWeCom, client: redis.asyncio.Redis) -> Question:
    """Somebody asks in the group; the question in a worker's hand, as soon as the chat shows that we think."""
    message_id = await say(fake)
    await when(fake, lambda: fake.replies_to(message_id))
    question: Question = await until(lambda: take(client))
    return question


async def when(fake: FakeWeCom, look: Callable[[], Any], timeout_s: float = 10) -> Any:
    """What `look()` gives as soon as it is true, without holding up the bot's loop."""
    return await asyncio.to_thread(fake.wait_for, look, timeout_s)


async def answered(fake: FakeWeCom, message_id: str) -> ShownMessage:
    """The one finished bubble that answers the message."""
    await when(fake, lambda: [shown for shown in fake.replies_to(message_id) if shown.finished])
    (shown,) = fake.replies_to(message_id)
    return shown


async def pushed(fake: FakeWeCom, count: int = 1) -> list[ShownMessage]:
    """The messages that were written anew into the group, as soon as there are that many."""

    def look() -> list[ShownMessage]:
        found = [shown for shown in fake.bot_messages(GROUP) if shown.via == "push"]
        return found if len(found) >= count else []

    return list(await when(fake, look))


def callback_bot(fake: FakeWeCom, settings: Settings, **changed: str) -> WeComCallback:
    """A bot that takes this fake's callbacks, on a free port."""
    values = {"token": fake.account.token, "aes_key": fake.account.aes_key, "api_url": fake.url} | changed
    times = AnswerTimes(360 * fake.time_scale, 300 * fake.time_scale)
    return WeComCallback(
        CallbackSettings("127.0.0.1", 0, **values),
        fake.account.bot_id,
        settings.redis_address,
        fake.account.bot_name,
        times,
        limits(fake.time_scale).rate,
    )


@contextlib.asynccontextmanager
async def called_bot(
    fake: FakeWeCom, settings: Settings, at_step: AtStep = go_on, **changed: str
) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    """A bot whose address the fake has verified; its address and its task."""
    platform = callback_bot(fake, settings, **changed)
    async with running_bot(platform, settings, at_step) as bot:
        await until(lambda: asyncio.sleep(0, platform.server.port))
        url = f"http://127.0.0.1:{platform.server.port}{PATH}"
        told = await asyncio.to_thread(lambda: fake.do("use_callback", url=url))
        assert told["verified"], told
        yield url, bot
