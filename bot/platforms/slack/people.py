"""What people are called: asked of Slack beside everything else, and remembered."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog

from bot.chat_event import ChatEvent, MessageEdited
from bot.chat_message import ChatMessage
from bot.platform import SendAmbiguousError, SendLaterError
from bot.platforms.slack.calls import SlackCalls, SlackRefusedError
from bot.remembered import Remembered

log = structlog.get_logger(__name__)


class People:
    """Names by user id. Nothing waits for one: whoever asks for the first time may still be without.

    They need the scope users:read; where the app has not got it, everybody stays without.
    """

    def __init__(self, calls: SlackCalls) -> None:
        self._calls = calls
        self._names: Remembered[str, str] = Remembered()
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._refused = False

    def named(self, event: ChatEvent) -> ChatEvent:
        """The event with its sender's name, as far as it is known."""
        if isinstance(event, MessageEdited):
            return replace(event, message=self._with_name(event.message))
        return self._with_name(event) if isinstance(event, ChatMessage) else event

    async def close(self) -> None:
        """Ask no more."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    def _with_name(self, message: ChatMessage) -> ChatMessage:
        in_a_thread = message.thread != message.message_id
        # Most of a group's talk is not for us, and nobody's name is looked up for it.
        if message.from_bot or not (message.mentions_us or message.is_direct or in_a_thread):
            return message
        return replace(message, sender_name=self._name(message.sender))

    def _name(self, user: str) -> str:
        known = self._names.get(user)
        if known is None and user not in self._asking and not self._refused:
            task = self._asking[user] = asyncio.create_task(self._ask(user))
            task.add_done_callback(lambda _task: self._asking.pop(user, None))
        return known or ""

    async def _ask(self, user: str) -> None:
        try:
            answer = await self._calls.call("users.info", user=user)
        except SlackRefusedError as error:
            self._refused = error.error in ("missing_scope", "not_allowed_token_type")
            log.info("people's names cannot be asked for", error=error.error)
            return
        except (SendLaterError, SendAmbiguousError) as error:
            log.debug("a name could not be asked for", error=str(error))
            return
        profile = answer["user"].get("profile") or {}
        self._names[user] = str(profile.get("display_name") or profile.get("real_name") or answer["user"]["name"])
