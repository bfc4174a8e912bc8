"""`python -m bot lark` as a process of its own."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psutil
import redis.asyncio

from tests.bot.answering import echo, finish, take
from tests.bot.conftest import until
from tests.bot.platforms.bot_program import bot_program
from tests.bot.platforms.lark.conftest import answer_to, eventually
from tests.fakes.lark import FakeLark
from tests.valkey import ValkeyServer


async def test_the_program_killed_and_started_again_answers_once(
    fake: FakeLark, valkey: ValkeyServer, redis_client: redis.asyncio.Redis, tmp_path: Path
) -> None:
    """After kill -9 while the answer grows, the next process ends it in the same card, ready and small enough."""
    began_s = time.monotonic()
    async with bot_program("lark", valkey, tmp_path, **fake.urls()) as first:
        await eventually(fake, lambda: fake.link.connections, 20)
        ready_s = time.monotonic() - began_s
        resident_mib = psutil.Process(first.pid).memory_info().rss / 2**20
        message_id = fake.say("How many days off?", mention_bot=True)
        question = await until(lambda: take(redis_client))
        await eventually(fake, lambda: fake.answers_to(message_id))
        first.kill()
    await finish(redis_client, echo(question))
    async with bot_program("lark", valkey, tmp_path, **fake.urls()) as second:
        await answer_to(fake, message_id, timeout_s=40)
        second.terminate()
        assert await asyncio.wait_for(second.wait(), 20) == 0
    assert len(fake.answers_to(message_id)) == 1
    assert resident_mib < 150
    assert ready_s < 15


async def test_a_program_whose_link_stays_away_ends_with_an_error(
    fake: FakeLark, valkey: ValkeyServer, tmp_path: Path
) -> None:
    """A dead link is an exit code that supervisord acts on, and a sentence."""
    fake.fail("endpoint", "code", times=999, code=99991400)
    settings = {**fake.urls(), "FENNEL_LARK__LINK_TIMEOUT_S": "1"}
    async with bot_program("lark", valkey, tmp_path, **settings) as process:
        _none, told = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert "does not come back" in told.decode().splitlines()[-1]
