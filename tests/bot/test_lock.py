"""One bot for each account."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

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
    """While the holder lives, another one is told so at once; another platform is free."""
    await AccountLock(client, "chat", "test").acquire()
    async with asyncio.timeout(1):
        with pytest.raises(LockHeldError, match="serves this account already"):
            await AccountLock(client, "chat", "test").acquire()
    await AccountLock(client, "talk", "test").acquire()


async def test_a_second_account_of_a_platform_is_told_to_take_a_redis_of_its_own(client: redis.asyncio.Redis) -> None:
    """Two accounts would read each other's answers; when the first one's bot has gone, the other may come."""
    first = AccountLock(client, "chat", "test")
    await first.acquire()
    with pytest.raises(LockHeldError, match="a Redis and workers of its own"):
        await AccountLock(client, "chat", "other").acquire()
    await first.release()
    await AccountLock(client, "chat", "other").acquire()


async def test_whoever_was_replaced_writes_nothing(client: redis.asyncio.Redis) -> None:
    """What is done through a lock is done while it is ours, all of it, and nothing of it after another took it."""
    old = AccountLock(client, "chat", "test")
    await old.acquire()
    assert await written(old, client, "old") == [1, 0, "", None]
    await client.delete(KEY)
    new = AccountLock(client, "chat", "test")
    await new.acquire()
    with pytest.raises(LockLostError):
        await written(old, client, "late")
    assert await client.hget("delivery", "state") == "old"
    assert await written(new, client, "new") == [0, 0, "", "字 old"]
    assert await client.hget("delivery", "state") == "new"


async def written(lock: AccountLock, client: redis.asyncio.Redis, value: str) -> list[Any]:
    """What Redis says to several writes and a read of what was there before."""
    async with client.pipeline() as step:
        step.hset("delivery", "state", value)
        step.zrem("open", "q-1")
        step.hset("delivery", mapping={"at_s": 0.1 + 0.2, "shown": ""})
        step.set("last", f"字 {value}", get=True)
        replies = await lock.execute(step)
    assert await client.hget("delivery", "at_s") == repr(0.1 + 0.2)
    return [replies[0], replies[1], await client.hget("delivery", "shown"), replies[3]]


async def test_whoever_slept_asks_before_it_sends(client: redis.asyncio.Redis) -> None:
    """Within the lease nobody is asked; behind it Redis tells whether another one came meanwhile."""
    lock = AccountLock(client, "chat", "test", lease_s=0.2)
    await lock.acquire()
    await lock.check()
    await asyncio.sleep(0.3)
    await lock.check()
    await asyncio.sleep(0.3)
    await AccountLock(client, "chat", "test").acquire()
    with pytest.raises(LockLostError):
        await lock.check()


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
