"""Which threads we are in."""

from __future__ import annotations

from redis.asyncio import Redis

from bot.chat_message import ChatMessage
from contract import names


class Conversations:
    """What Redis remembers of threads. `redis` waits for Redis (`patient_client`)."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def is_ours(self, message: ChatMessage) -> bool:
        """Whether we have answered, or are answering, in this thread; a channel itself is never ours."""
        if message.thread in ("", message.channel):
            return False
        conversation = f"{message.platform}:{message.tenant}:{message.channel}:{message.thread}"
        return bool(await self._redis.exists(names.turns_key(conversation), names.thread_key(conversation)))
