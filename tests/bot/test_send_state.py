"""The state of a send, as Redis keeps it."""

from __future__ import annotations

import redis.asyncio

from bot.lock import AccountLock
from bot.send_state import SendStage, SendState, SendStates
from contract import names


async def test_a_stage_that_only_a_newer_bot_knows_is_a_send_in_doubt(redis_client: redis.asyncio.Redis) -> None:
    """A bot of the release before does not fall over it: it looks into the chat, as after a send that broke."""
    await redis_client.hset(names.delivery_key("q"), mapping={"state": "folded", "sent_id": "p1"})

    state = await SendStates(redis_client, AccountLock(redis_client, "chat", "test"), "chat").load("q")

    assert state == SendState(SendStage.AMBIGUOUS, "p1")


async def test_the_state_of_a_send_is_read_as_it_was_written(redis_client: redis.asyncio.Redis) -> None:
    """A send state comes back from Redis as it went in, and beside it the outcome of the contract stays."""
    lock = AccountLock(redis_client, "chat", "test")
    await lock.acquire()
    states = SendStates(redis_client, lock, "chat")
    assert await states.load("q-1") == SendState()
    written = SendState(SendStage.AMBIGUOUS, "r1", "r0", 12.5, "failed")
    await redis_client.hset(names.delivery_key("q-1"), "outcome", "answered")
    await states.write("q-1", written)
    assert await states.load("q-1") == written
    assert await redis_client.hget(names.delivery_key("q-1"), "outcome") == "answered"
    assert 0 < await redis_client.ttl(names.delivery_key("q-1")) <= names.DELIVERY_TTL_S
