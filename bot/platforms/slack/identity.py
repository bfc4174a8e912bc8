"""Who we are at Slack."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from bot.platforms.slack.calls import SlackCalls


@dataclass(frozen=True, slots=True)
class Identity:
    """The bot's own ids; a message of ours carries `bot_id`, a mention of us `user_id`."""

    team_id: str
    user_id: str
    bot_id: str


class Whoami:
    """Asks Slack once, and remembers."""

    def __init__(self, calls: SlackCalls) -> None:
        self._calls = calls
        self._lock = asyncio.Lock()
        self._identity: Identity | None = None

    async def identity(self) -> Identity:
        """Our ids. Raises what `SlackCalls.call` raises."""
        async with self._lock:
            if self._identity is None:
                answer = await self._calls.call("auth.test")
                self._identity = Identity(answer["team_id"], answer["user_id"], answer.get("bot_id", ""))
            return self._identity
