"""What WeChat keeps for nobody to ask: how far each answer is shown, and what people may still be sent.

It stands in Redis, written before each step that WeChat cannot be asked about afterwards.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from bot.lock import AccountLock
from bot.redis_link import patient_client
from config.redis_address import RedisAddress
from contract import names


@dataclass(frozen=True, slots=True)
class Record:
    """One answer. `plan`: the digest of the end that is being shown. `done`: its parts that are shown for sure.

    `tries`: sends of the next part that WeChat did not confirm. `told`: a notice was said before the answer.
    """

    plan: str = ""
    done: int = 0
    tries: int = 0
    told: bool = False


def read_record(value: str) -> Record:
    """What stands in Redis; what a newer program added to it is not looked at."""
    known = {field.name for field in fields(Record)}
    return Record(**{name: part for name, part in json.loads(value).items() if name in known})


class Records:
    """The records of one account. Waits for Redis. `write` raises LockLostError in a process that was replaced."""

    def __init__(self, redis_address: RedisAddress) -> None:
        self._redis = patient_client(redis_address)
        self._lock: AccountLock | None = None

    def hold(self, lock: AccountLock) -> None:
        """Write through this lock from now on."""
        self._lock = lock

    async def load(self, question_id: str) -> Record:
        """What was written last; a new record where nothing was."""
        value: Any = await self._redis.get(names.weixin_answer_key(question_id))
        return read_record(value) if value else Record()

    async def write(self, question_id: str, record: Record) -> Record:
        """Write it down; when this returns, a crash does not lose it."""
        value = json.dumps(asdict(record))
        if self._lock is None:
            raise RuntimeError("hold() first")
        async with self._redis.pipeline() as step:
            step.set(names.weixin_answer_key(question_id), value, ex=names.DELIVERY_TTL_S)
            await self._lock.execute(step)
        return record

    async def cursor(self, bot_id: str) -> str:
        """How far messages are in Redis; empty at first."""
        return str(await self._redis.get(names.weixin_cursor_key(bot_id)) or "")

    async def keep_cursor(self, bot_id: str, cursor: str) -> None:
        """Everything before this is in Redis: WeChat need not deliver it again."""
        await self._redis.set(names.weixin_cursor_key(bot_id), cursor)

    async def unanswered(self, bot_id: str, person: str) -> int:
        """How many messages the person got since they last wrote."""
        return int(await self._redis.get(names.weixin_unanswered_key(bot_id, person)) or 0)

    async def count_unanswered(self, bot_id: str, person: str) -> None:
        """The person got one message more."""
        key = names.weixin_unanswered_key(bot_id, person)
        async with self._redis.pipeline(transaction=True) as step:
            step.incr(key)
            step.expire(key, names.SECONDS_A_DAY)
            await step.execute()

    async def forget_unanswered(self, bot_id: str, person: str) -> None:
        """The person has just written."""
        await self._redis.delete(names.weixin_unanswered_key(bot_id, person))

    async def close(self) -> None:
        """Give the connection back."""
        await self._redis.aclose()
