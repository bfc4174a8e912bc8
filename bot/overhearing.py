"""Reading along: in a channel that wants it, a person's words are collected until they fall silent, and then looked at.

What was collected stands in Redis until its question is queued, so that no process that dies loses it or asks it twice.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields, replace
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bot import metrics
from bot.access import place_of
from bot.chat_event import MessageDeleted
from bot.chat_message import ChatMessage
from contract import names
from contract.errors import FennelError

LOOK_EVERY_S = 1.0
"""Four times a second cost an idle bot and its Redis a fifth of what they take; nobody counts silence so exactly."""
KEEP_S = 3_600
"""Longer than any silence that is waited for."""
BATCH = 100

# Whoever went on speaking meanwhile has a later time by now, which stays, as do the new words.
_DONE = """
if tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or '-1') == tonumber(ARGV[2]) then
  redis.call('ZREM', KEYS[2], ARGV[1])
end
if #ARGV > 2 then redis.call('HDEL', KEYS[1], unpack(ARGV, 3)) end
"""

log = structlog.get_logger(__name__)

Ask = Callable[[ChatMessage], Awaitable[None]]
"""Takes in what a person said, as one message; may be called twice with the same."""


class Overhearing:
    """What is collected for one platform. `redis` waits for it (`patient_client`)."""

    def __init__(self, redis: Redis, platform: str) -> None:
        self._redis = redis
        self._platform = platform
        self._due = names.overheard_due_key(platform)

    async def collect(self, message: ChatMessage, quiet_s: float) -> None:
        """Keep the message; it is looked at when the person has been silent for `quiet_s`. Twice the same is once."""
        key = names.overheard_key(place_of(message))
        async with self._redis.pipeline(transaction=True) as step:
            step.hset(key, message.message_id, json.dumps(asdict(message)))
            step.expire(key, KEEP_S)
            step.zadd(self._due, {_whose(message): time.time() + quiet_s})
            await step.execute()
        metrics.overheard.labels(self._platform, "collected").inc()

    async def change(self, message: ChatMessage) -> None:
        """Put a message's new text in place, where it was collected."""
        key = names.overheard_key(place_of(message))
        if await self._redis.hexists(key, message.message_id):
            await self._redis.hset(key, message.message_id, json.dumps(asdict(message)))

    async def drop(self, deleted: MessageDeleted) -> None:
        """Forget a message that was taken back."""
        await self._redis.hdel(names.overheard_key(place_of(deleted)), deleted.message_id)

    async def drop_all_of(self, message: ChatMessage) -> None:
        """Forget what this person said here: they have called us by now."""
        key = names.overheard_key(place_of(message))
        mine = [message_id for message_id, one in (await self._collected(key)) if one.sender == message.sender]
        async with self._redis.pipeline(transaction=True) as step:
            if mine:
                step.hdel(key, *mine)
            step.zrem(self._due, _whose(message))
            await step.execute()

    async def run(self, ask: Ask) -> None:
        """Hand over what is due, until cancelled."""
        while True:
            try:
                await self.look(time.time(), ask)
            except (FennelError, RedisError) as error:
                log.warning("what was overheard cannot be looked at now", error=str(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self, now_s: float, ask: Ask) -> None:
        """Hand over what is due now, and forget it then."""
        due: Any = await self._redis.zrangebyscore(self._due, "-inf", now_s, start=0, num=BATCH, withscores=True)
        for whose, due_s in due:
            await self._look_at(str(whose), float(due_s), ask)

    async def _look_at(self, whose: str, due_s: float, ask: Ask) -> None:
        place, sender = json.loads(whose)
        key = names.overheard_key(place)
        said = sorted(
            ((message_id, one) for message_id, one in await self._collected(key) if one.sender == sender),
            key=lambda each: each[1].at_s,
        )
        if said:
            last = said[-1][1]
            await ask(replace(last, text="\n".join(one.text for _, one in said)))
            metrics.overheard.labels(self._platform, "looked_at").inc()
        keys, fields = [key, self._due], [whose, repr(due_s), *(message_id for message_id, _ in said)]
        await self._redis.eval(_DONE, len(keys), *keys, *fields)

    async def _collected(self, key: str) -> list[tuple[str, ChatMessage]]:
        kept: Any = await self._redis.hgetall(key)
        return [(str(message_id), read_message(one)) for message_id, one in kept.items()]


def read_message(said: str) -> ChatMessage:
    """A collected message; what a newer program added to it is not looked at."""
    known = {field.name for field in fields(ChatMessage)}
    return ChatMessage(**{name: part for name, part in json.loads(said).items() if name in known})


def _whose(message: ChatMessage) -> str:
    return json.dumps([place_of(message), message.sender])
