"""An iLink on a quick clock, and a bot that is logged in to it."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from bot.platforms.weixin.login import Ask, Login
from bot.platforms.weixin.platform import PollTimes, Weixin
from bot.platforms.weixin.session import Session, SessionFile
from bot.reply_slot import AtStep, go_on
from config.settings import Settings
from tests.bot.answering import echo, finish, publish, take
from tests.bot.conftest import MakeSettings, running_bot, until
from tests.bot.crashing import is_growing_or_dead
from tests.fakes.wecom import FakeWeCom, ShownMessage

USER = "o9cq80zhang@im.wechat"
TIMES = PollTimes(backoff_first_s=0.02, backoff_last_s=0.1, typing_again_s=0.2)


@pytest.fixture
def fake() -> Iterator[FakeWeCom]:
    """ILink with a long poll of 0.7 s."""
    with FakeWeCom(time_scale=0.02) as server:
        yield server


@pytest.fixture(autouse=True)
def _tries_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.platforms.weixin.answers.PERSON_AGAIN_S", 0.05)
    monkeypatch.setattr("bot.platforms.weixin.answers.BUSY_AGAIN_S", 0.05)
    monkeypatch.setattr("bot.platforms.weixin.api.UNREACHABLE_AGAIN_S", 0.05)


async def nobody_asks(prompt: str) -> str:
    raise AssertionError(prompt)


def login_at(fake: FakeWeCom, out: io.StringIO, ask: Ask = nobody_asks) -> Login:
    """A login whose terminal is `out`."""
    return Login(fake.url, out, ask, ask_again_s=0.01)


def log_in(fake: FakeWeCom, settings: Settings) -> SessionFile:
    """The login of an earlier start."""
    fake.ilink.token = fake.ilink.token or f"{fake.ilink.bot_id}:token-of-the-test"
    sessions = SessionFile(settings.home / "weixin" / "session.json")
    sessions.save(Session(fake.ilink.token, fake.ilink.bot_id, fake.url))
    return sessions


def weixin(fake: FakeWeCom, settings: Settings) -> Weixin:
    """A bot's side of the fake's iLink, logged in."""
    return Weixin(log_in(fake, settings), None, settings.redis_address, TIMES)


@contextlib.asynccontextmanager
async def linked_bot(fake: FakeWeCom, settings: Settings, at_step: AtStep = go_on) -> AsyncIterator[asyncio.Task[None]]:
    """A bot that is logged in at the fake while the block runs."""
    async with running_bot(weixin(fake, settings), settings, at_step) as bot:
        yield bot


async def write(fake: FakeWeCom, text: str = "怎么部署？", **event: Any) -> dict[str, Any]:
    """Somebody writes to the bot; the message's id and its context token."""
    told: dict[str, Any] = await asyncio.to_thread(lambda: fake.do("weixin", user=USER, text=text, **event))
    return told


async def when(fake: FakeWeCom, look: Callable[[], Any], timeout_s: float = 10) -> Any:
    """What `look()` gives as soon as it is true, without holding up the bot's loop."""
    return await asyncio.to_thread(fake.wait_for, look, timeout_s)


async def shown(fake: FakeWeCom, count: int = 1) -> list[ShownMessage]:
    """What the bot wrote, as soon as there is that much of it."""
    messages = await when(fake, lambda: len(fake.bot_messages(USER)) >= count and fake.bot_messages(USER))
    return list(messages)


def calls(fake: FakeWeCom, name: str) -> list[Any]:
    """The bodies of all calls of that name."""
    return [line.payload for line in fake.journal if (line.direction, line.kind) == ("in", name)]


def mode_of(path: Path) -> int:
    """Who may do what with the file."""
    return path.stat().st_mode & 0o777


async def ask_and_crash(
    fake: FakeWeCom, make_settings: MakeSettings, client: redis.asyncio.Redis, at_step: Callable[[str], None]
) -> None:
    """Ask, answer, and die on the way."""

    async def serve() -> None:
        async with linked_bot(fake, make_settings(), at_step) as bot:
            await write(fake)
            question = await until(lambda: take(client))
            await publish(client, question, "先装")
            # So that the end is an edit, unless the process dies of the growing text.
            await until(lambda: is_growing_or_dead(client, question, bot))
            await finish(client, echo(question))
            await asyncio.wait([bot], timeout=10)

    with pytest.raises(BaseExceptionGroup):
        await serve()
