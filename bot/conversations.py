"""The threads that we are in: what is remembered of them, and what we work on there."""

from __future__ import annotations

import time

from redis.asyncio import Redis

from bot.chat_message import ChatMessage
from bot.redis_link import run_script
from contract import names, scripts
from contract.question import Question


def may_be_ours(message: ChatMessage) -> bool:
    """Whether the message stands in a thread that we may be in; a channel itself is never ours."""
    return message.thread not in ("", message.channel, message.message_id)


class Conversations:
    """What Redis knows of threads. `redis` waits for Redis (`patient_client`)."""

    def __init__(self, redis: Redis, ttl_s: float) -> None:
        self._redis = redis
        self._ttl_s = ttl_s

    async def forget(self, conversation: str) -> bool:
        """Forget the thread's turns; False where there were none. An answer under way leaves none either."""
        return bool(await run_script(self._redis, scripts.forget(conversation, time.time(), self._ttl_s)))

    async def under_way(self, here: Question, *, of_everybody: bool) -> list[Question]:
        """The open questions of this thread, or else of this channel, that the person asked; the oldest first.

        With `of_everybody` (an admin) also what others asked.
        """
        ids = await self._redis.zrange(names.open_key(here.platform), 0, -1)
        async with self._redis.pipeline(transaction=False) as step:
            for one in ids:
                step.get(names.question_key(str(one)))
                step.hexists(names.delivery_key(str(one)), "outcome")
            replies = await step.execute()
        # Whatever has its end is over, though it may not have been shown yet.
        wires = [wire for wire, is_over in zip(replies[::2], replies[1::2], strict=True) if not is_over]
        read = [question for wire in wires if (question := Question.if_readable(wire))]
        own = [one for one in read if one.place == here.place and (of_everybody or one.asker == here.asker)]
        return [one for one in own if one.thread == here.thread] or own
