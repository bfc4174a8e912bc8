"""Reads back what was written while nobody listened: Slack does not deliver for longer than some minutes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import structlog

from bot.chat_message import ChatMessage
from bot.platform import SendAmbiguousError, SendLaterError
from bot.platforms.slack import metrics
from bot.platforms.slack.calls import SlackCalls, SlackRefusedError
from bot.platforms.slack.events import chat_message
from bot.platforms.slack.identity import Identity

CHANNEL_TYPES = "public_channel,private_channel,mpim,im"
PAGE = 200

log = structlog.get_logger(__name__)


class Missed:
    """The messages of the last `read_back_s` seconds in the channels that we are in.

    Whoever takes them knows which of them are new: an event that came both ways is one question.
    A thread that was begun before that time is not looked into.
    """

    def __init__(self, calls: SlackCalls, read_back_s: float) -> None:
        self._calls = calls
        self._read_back_s = read_back_s

    async def messages(self, me: Identity) -> AsyncIterator[ChatMessage]:
        """Each message that may be for us, channel by channel. What Slack refuses is left out and logged."""
        since_s = time.time() - self._read_back_s
        try:
            async for channel in self._pages("users.conversations", "channels", types=CHANNEL_TYPES):
                async for message in self._channel(channel, since_s, me):
                    metrics.missed.inc()
                    yield message
        except (SlackRefusedError, SendLaterError, SendAmbiguousError) as error:
            log.warning("missed messages cannot be read back", error=str(error))

    async def _channel(self, channel: dict[str, Any], since_s: float, me: Identity) -> AsyncIterator[ChatMessage]:
        kind = "im" if channel.get("is_im") else ""
        oldest = f"{since_s:.6f}"
        try:
            async for raw in self._pages("conversations.history", "messages", channel=channel["id"], oldest=oldest):
                thread = [raw]
                if float(raw.get("latest_reply") or 0) > since_s:
                    arguments = {"channel": channel["id"], "ts": raw["ts"], "oldest": oldest}
                    thread += [
                        reply
                        async for reply in self._pages("conversations.replies", "messages", **arguments)
                        if reply["ts"] != raw["ts"]
                    ]
                for message in _for_us(thread, channel["id"], kind, me):
                    yield message
        except SlackRefusedError as error:
            log.info("a channel cannot be read back", error=error.error)

    async def _pages(self, method: str, key: str, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            answer = await self._calls.call(method, patient=True, limit=PAGE, cursor=cursor, **arguments)
            for one in answer[key]:
                yield one
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or None
            if cursor is None:
                return


def _for_us(thread: list[dict[str, Any]], channel: str, kind: str, me: Identity) -> Iterator[ChatMessage]:
    """A thread's messages that mention us or follow something of ours, and all direct ones.

    What was said before we were in a thread was not for us then, and is not now.
    """
    in_it = False
    for raw in thread:
        in_it = in_it or raw.get("bot_id") == me.bot_id
        message = chat_message({**raw, "channel": channel, "channel_type": kind}, me.team_id, me)
        if message and not message.from_bot and (in_it or message.mentions_us or message.is_direct):
            yield message
