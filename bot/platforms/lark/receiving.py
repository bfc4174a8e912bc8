"""What happens to each raw event, over whichever way it came, before it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import structlog

from bot.chat_event import FeedbackGiven, MessageDeleted
from bot.chat_message import ChatMessage
from bot.platform import PlatformError
from bot.platforms.lark import metrics
from bot.platforms.lark.api import LarkApi
from bot.platforms.lark.events import EventError, event_type, parse, quoted_text, translate, with_quote
from bot.platforms.lark.markup import VERDICTS
from bot.platforms.lark.people import People

QUOTE_WITHIN_S = 1.0
"""An event has to be acknowledged within 3 s. A question without what it quotes is better than none."""
KNOWN_TYPES_MAX = 100

log = structlog.get_logger(__name__)


class Receiving:
    """Takes raw events in. `recalled` is told of every recalled message, so that no answer is shown in one."""

    def __init__(
        self,
        api: LarkApi,
        people: People,
        app_id: str,
        bot_open_id: str,
        receive: Callable[[Any], Awaitable[None]],
        recalled: Callable[[str], None],
        ack_within_s: float = 2.5,
    ) -> None:
        self._api = api
        self._people = people
        self._app_id = app_id
        self._bot_open_id = bot_open_id
        self._receive = receive
        self._recalled = recalled
        self._ack_within_s = ack_within_s
        self._types: set[str] = set()

    async def take(self, raw: bytes | str) -> dict[str, Any] | None:
        """Take an event in; when it returns, the event may be acknowledged, with this as the answer if there is one.

        Raises where it must not be acknowledged, after `ack_within_s` at the latest: Lark delivers it again.
        """
        kind = "unreadable"
        try:
            event = parse(raw)
            kind = event_type(event)
            async with asyncio.timeout(self._ack_within_s):
                what, answer = await self._take(event)
        except EventError as error:
            # It does not get better by being delivered again.
            log.error("an event cannot be read", type=kind, error=str(error))
            self._count(kind, "unreadable")
            return None
        except Exception as error:
            log.error("an event is not acknowledged", type=kind, error=str(error) or type(error).__name__)
            self._count(kind, "failed")
            raise
        self._count(kind, what)
        return answer

    async def _take(self, event: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
        meaning = translate(event, self._bot_open_id)
        if meaning is None:
            # Whatever the app is subscribed to is acknowledged, or Lark delivers it again for hours.
            return "ignored", None
        answer = None
        if isinstance(meaning, ChatMessage):
            meaning = await self._completed(meaning)
        elif isinstance(meaning, MessageDeleted):
            self._recalled(meaning.message_id)
        elif isinstance(meaning, FeedbackGiven):
            answer = {"toast": {"type": "success", "content": VERDICTS[meaning.verdict]}}
        await self._receive(meaning)
        return "taken", answer

    async def _completed(self, message: ChatMessage) -> ChatMessage:
        """The message with its sender's name and what it quotes, where it is for us."""
        if message.from_bot or not (message.mentions_us or message.is_direct):
            return message
        name, quoting = await asyncio.gather(self._people.name_of(message.sender), self._with_quote(message))
        return replace(quoting, sender_name=name)

    async def _with_quote(self, message: ChatMessage) -> ChatMessage:
        """The message with what it quotes, where it quotes somebody else."""
        parent_id = message.address.get("parent_id")
        if not parent_id:
            return message
        try:
            async with asyncio.timeout(QUOTE_WITHIN_S):
                answer = await self._api.call("GET", f"/open-apis/im/v1/messages/{parent_id}")
        except (PlatformError, TimeoutError) as error:
            log.warning("a quoted message cannot be read", error=str(error) or "no answer in time")
            return message
        items = (answer.get("data") or {}).get("items") or []
        try:
            quote = quoted_text(items[0], self._app_id, self._bot_open_id) if items else ""
        except EventError as error:
            log.warning("a quoted message cannot be read", error=str(error))
            return message
        return replace(message, text=with_quote(message.text, quote)) if quote and message.text.strip() else message

    def _count(self, kind: str, what: str) -> None:
        # The type is the sender's word: no more of them than a metric can bear.
        if len(self._types) < KNOWN_TYPES_MAX:
            self._types.add(kind)
        metrics.events.labels(kind if kind in self._types else "other", what).inc()
