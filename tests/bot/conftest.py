"""Settings and a running bot for the tests of this folder."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from bot.chat_message import ChatMessage
from bot.lock import AccountLock
from bot.platform import Platform
from bot.reply_slot import AtStep, go_on
from bot.run import run_bot
from config.redis_users import Role
from config.settings import Settings
from contract.question import Question, question_id
from tests.fakes.chat import FakeChat, Post
from tests.valkey import ValkeyServer

MakeSettings = Callable[..., Settings]


@pytest.fixture
def make_settings(valkey: ValkeyServer, tmp_path: Path) -> MakeSettings:
    """Settings for the session's Valkey and a home of the test's own; sections override keys."""

    def make(url: str = valkey.url_of(Role.BOT), **sections: dict[str, Any]) -> Settings:
        quick: dict[str, dict[str, Any]] = {
            "redis": {"url": url},
            "bot": {"delivery_interval_s": 0.05},
            # In tests one person asks what a whole team would.
            "limits": {"person_questions": 0, "group_questions": 0, "overall_questions": 0},
        }
        for section, values in sections.items():
            quick.setdefault(section, {}).update(values)
        settings = Settings(home=tmp_path / "home", **quick)  # type: ignore[arg-type]
        settings.make_folders()
        return settings

    return make


@pytest.fixture
def chat() -> Iterator[FakeChat]:
    """The made-up chat platform."""
    with FakeChat(redeliver_after_s=0.3) as server:
        yield server


@contextlib.asynccontextmanager
async def running_bot(
    platform: Platform, settings: Settings, at_step: AtStep = go_on, lease_s: float = 1.0
) -> AsyncIterator[asyncio.Task[None]]:
    """A bot that serves while the block runs, and is stopped cleanly behind it."""
    stop = asyncio.Event()
    task = asyncio.create_task(run_bot(platform, settings, stop, at_step=at_step, lease_s=lease_s))
    try:
        yield task
    finally:
        stop.set()
        await task


async def until(look: Callable[[], Awaitable[Any]], timeout_s: float = 10) -> Any:
    """What `look()` gives as soon as it is true; raises AssertionError when that takes too long."""
    end = time.monotonic() + timeout_s
    while not (found := await look()):
        assert time.monotonic() < end, f"not within {timeout_s} s"
        await asyncio.sleep(0.01)
    return found


async def hold(platform: Platform, client: redis.asyncio.Redis) -> AccountLock:
    """Take the platform's account, as `run_bot` does first."""
    lock = AccountLock(client, platform.name, platform.account)
    await lock.acquire()
    platform.hold(lock)
    return lock


def make_question(number: int = 1, **fields: Any) -> Question:
    """A question in the channel `general` of the made-up chat."""
    now_s = time.time()
    message_id = fields.pop("message_id", f"m{number}")
    values: dict[str, Any] = {
        "platform": "chat",
        "tenant": "team",
        "channel": "general",
        "thread": "general",
        "asker": "u-ann",
        "asker_name": "Ann",
        "text": f"How many days off do I have? {number}",
        "language": "en",
        "asked_at_s": now_s,
        "accepted_at_s": now_s,
    } | fields
    place = (values["platform"], values["tenant"], values["channel"], message_id)
    return Question(id=question_id(*place), message_id=message_id, **values)


def make_message(**fields: Any) -> ChatMessage:
    """A mention by u-ann in the channel `general` of the made-up chat, written just now."""
    values: dict[str, Any] = {
        "platform": "chat",
        "tenant": "team",
        "channel": "general",
        "thread": "general",
        "message_id": "m1",
        "sender": "u-ann",
        "sender_name": "Ann",
        "text": "How many days off?",
        "at_s": time.time(),
        "mentions_us": True,
    }
    return ChatMessage(**(values | fields))


async def ended(chat: FakeChat, message_id: str) -> Post:
    """Wait for the end of a question without holding up the bot's loop."""
    return await asyncio.to_thread(chat.wait_ended, message_id, 8)


async def everything(client: redis.asyncio.Redis) -> str:
    """All that stands in Redis."""
    found: list[Any] = []
    key: Any
    async for key in client.scan_iter("*"):
        kind = await client.type(key)
        look: Any = {
            "string": lambda key=key: client.get(key),
            "hash": lambda key=key: client.hgetall(key),
            "list": lambda key=key: client.lrange(key, 0, -1),
            "set": lambda key=key: client.smembers(key),
            "zset": lambda key=key: client.zrange(key, 0, -1),
            "stream": lambda key=key: client.xrange(key),
        }[str(kind)]
        found.append((key, await look()))
    return repr(found)
