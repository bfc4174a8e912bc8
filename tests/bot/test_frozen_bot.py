"""A bot that stands still for longer than its lease, and wakes up when another one has taken its account over."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from bot.redis_link import plain_client
from config.environment import environment_with
from contract import names
from contract.question import question_id
from tests.bot.answering import answering
from tests.bot.conftest import until
from tests.fakes.chat import FakeChat
from tests.valkey import ValkeyServer

LEASE_S = "1"


@contextlib.asynccontextmanager
async def bot(chat: FakeChat, valkey: ValkeyServer, home: Path, freeze_at: str = "") -> AsyncIterator[Process]:
    """A real bot process on the made-up platform."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.fakes.chat_bot", "--url", chat.url, "--lease-s", LEASE_S, "--thinks-at-once"),
        *("--freeze-at", freeze_at),
        env=environment_with(FENNEL_REDIS__URL=valkey.url, FENNEL_HOME=str(home)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


@pytest.mark.parametrize(
    "step",
    [
        "before sending is written down",
        "sending is written down",
        "sent, and not written down",
        "before an edit",
        "before the end is written down",
    ],
)
async def test_a_bot_that_was_replaced_while_it_stood_still_changes_nothing(
    step: str, chat: FakeChat, valkey: ValkeyServer, tmp_path: Path
) -> None:
    """Whichever step it stops at, the other one shows the answer once; woken up it sends and writes nothing."""
    async with plain_client(valkey.address) as client, bot(chat, valkey, tmp_path, freeze_at=step) as old:
        message_id = chat.write("How many days off do I have?")
        assert old.stdout is not None
        frozen = asyncio.ensure_future(old.stdout.readline())
        # The answer comes when "thinking" is shown, so that it is an edit; or after the bot froze before that.
        await until(lambda: asyncio.sleep(0, frozen.done() or chat.replies(message_id)))
        async with answering(valkey.address):
            assert step in (await frozen).decode()
        await until(lambda: is_free(client))
        async with bot(chat, valkey, tmp_path) as new, answering(valkey.address):
            await asyncio.to_thread(chat.wait_for, lambda: chat.ended(message_id))
            key = names.delivery_key(question_id("chat", "team", "general", message_id))
            await until(lambda: is_done(client, key))
            shown = chat.replies(message_id)
            before = await client.hgetall(key), len(chat.journal)

            os.kill(old.pid, signal.SIGCONT)
            async with asyncio.timeout(20):
                _, said = await old.communicate()

            assert old.returncode == 1
            assert b"another bot has taken this account over" in said
            assert chat.replies(message_id) == shown
            assert len(shown) == 1
            assert await client.hgetall(key) == before[0]
            assert "shown" not in [entry.kind for entry in chat.journal[before[1] :]]
            assert new.returncode is None


async def is_free(client: redis.asyncio.Redis) -> bool:
    return not await client.exists(names.bot_lock_key("chat", "test"))


async def is_done(client: redis.asyncio.Redis, key: str) -> bool:
    return await client.hget(key, "state") == "done"
