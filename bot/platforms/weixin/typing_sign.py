"""The sign that the bot is typing: all that WeChat has to show that a question is being worked on."""

from __future__ import annotations

import time

import structlog

from bot.platform import PlatformError
from bot.platforms.weixin.api import ILinkApi
from contract.question import Question

AGAIN_S = 5.0
"""The sign goes away by itself; Tencent's own client renews it this often."""
TYPING = 1
CALL_TIMEOUT_S = 5.0
PEOPLE_REMEMBERED = 1_024

log = structlog.get_logger(__name__)


class TypingSign:
    """Shows the sign, and never disturbs anything else: whatever fails is let be until the next time."""

    def __init__(self, api: ILinkApi, again_s: float = AGAIN_S) -> None:
        self._again_s = again_s
        self._api = api
        self._shown_at_s: dict[str, float] = {}
        self._tickets: dict[str, str] = {}

    async def show(self, question: Question) -> None:
        """Show it for a while to whoever asked, unless it is there."""
        person, now_s = question.channel, time.monotonic()
        if now_s < self._shown_at_s.get(person, -self._again_s) + 0.9 * self._again_s:
            return
        if len(self._shown_at_s) >= PEOPLE_REMEMBERED:
            self._shown_at_s.clear()
            self._tickets.clear()
        self._shown_at_s[person] = now_s
        try:
            ticket = self._tickets.get(person) or await self._ticket(question)
            if ticket:
                body = {"ilink_user_id": person, "typing_ticket": ticket, "status": TYPING}
                await self._api.post("sendtyping", body, CALL_TIMEOUT_S)
        except PlatformError as error:
            log.debug("the typing sign cannot be shown", error=str(error))

    def gone(self, question: Question) -> None:
        """A message has taken its place: the next question shows it anew."""
        self._shown_at_s.pop(question.channel, None)

    async def _ticket(self, question: Question) -> str:
        body = {"ilink_user_id": question.channel, "context_token": question.address.get("context_token", "")}
        ticket = (await self._api.post("getconfig", body, CALL_TIMEOUT_S)).get("typing_ticket")
        if isinstance(ticket, str) and ticket:
            self._tickets[question.channel] = ticket
            return ticket
        return ""
