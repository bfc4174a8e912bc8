"""One bot for each account."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace

import psutil
import pytest
import redis.asyncio

from bot.lock import AccountLock, Holder, LockHeldError, LockLostError
from bot.redis_link import patient_client
from contract import names
from tests.valkey import ValkeyServer

KEY = names.bot_lock_key("chat", "test")


@pytest.fixture
async def client(valkey: ValkeyServer) -> AsyncIterator[redis.asyncio.Redis]:
    """A client that waits for Redis."""
    async with patient_client(valkey.address) as one:
        yield one


async def test_a_second_bot_refuses_to_start(client: redis.asyncio.Redis) -> None:
    """While the holder lives, another one is told so at once; another account is free."""
    await AccountLock(client, "chat", "test").acquire()
    async with asyncio.timeout(1):
        with pytest.raises(LockHeldError, match="serves this account already"):
            await AccountLock(client, "chat", "test").acquire()
    await AccountLock(client, "chat", "other").acquire()


async def test_the_lock_of_a_dead_process_is_taken_at_once(client: redis.asyncio.Redis) -> None:
    """A holder that was killed on this machine is not waited for."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=subprocess.PIPE)
    born_s = psutil.Process(process.pid).create_time()
    dead = replace(Holder.this_process(), token="x", pid=process.pid, started_at_s=born_s)
    await client.set(KEY, dead.to_value(), px=60_000)
    with pytest.raises(LockHeldError):
        await AccountLock(client, "chat", "test").acquire()
    process.kill()
    await process.wait()
    async with asyncio.timeout(1):
        await AccountLock(client, "chat", "test").acquire()


async def test_a_process_id_that_was_given_away_is_a_dead_holder(client: redis.asyncio.Redis) -> None:
    """Another process that has the holder's number now does not keep the lock."""
    earlier = replace(Holder.this_process(), token="x", started_at_s=1.0)
    await client.set(KEY, earlier.to_value(), px=60_000)
    async with asyncio.timeout(1):
        await AccountLock(client, "chat", "test").acquire()


async def test_a_holder_elsewhere_is_waited_for_as_long_as_its_lease(client: redis.asyncio.Redis) -> None:
    """Of another machine's holder nothing is known but its lease: when that ends, the lock is free."""
    elsewhere = replace(Holder.this_process(), token="x", machine="elsewhere boot ns")
    await client.set(KEY, elsewhere.to_value(), px=300)
    await AccountLock(client, "chat", "test", lease_s=1).acquire()
    await client.set(KEY, elsewhere.to_value(), px=60_000)
    with pytest.raises(LockHeldError, match="on elsewhere"):
        await AccountLock(client, "chat", "test", lease_s=0.2).acquire()


async def test_a_lock_that_was_taken_over_ends_its_holder(client: redis.asyncio.Redis) -> None:
    """Whoever finds another one in its place stops; and releasing does not free the other's lock."""
    lock = AccountLock(client, "chat", "test", lease_s=0.2)
    await lock.acquire()
    await client.set(KEY, json.dumps({"another": 1}))
    async with asyncio.timeout(5):
        with pytest.raises(LockLostError):
            await lock.keep()
    await lock.release()
    assert await client.exists(KEY)


async def test_a_lock_that_ran_out_unnoticed_is_held_again(client: redis.asyncio.Redis) -> None:
    """After Redis was away for longer than the lease, and nobody else came, the holder goes on."""
    lock = AccountLock(client, "chat", "test", lease_s=0.2)
    await lock.acquire()
    await client.delete(KEY)
    keeping = asyncio.create_task(lock.keep())
    async with asyncio.timeout(5):
        while not await client.exists(KEY):  # noqa: ASYNC110 -- Redis does not call back
            await asyncio.sleep(0.01)
    keeping.cancel()
    await lock.release()
    assert not await client.exists(KEY)
