"""What WeChat keeps for nobody to ask: how far each answer is shown, and what people may still be sent.

It stands in Redis, written before each step that WeChat cannot be asked about afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.answer_records import AnswerRecords
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


class Records(AnswerRecords[Record]):
    """The records of one account, its place in the messages, and what its people may still be sent."""

    def __init__(self, redis_address: RedisAddress) -> None:
        super().__init__(redis_address, Record, names.weixin_answer_key)

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
