"""Shows that we think before there is a message: a status line in the thread, or eyes on the question."""

from __future__ import annotations

import time
from collections import OrderedDict

import structlog

from bot.platform import SendAmbiguousError, SendLaterError
from bot.platforms.slack.calls import SlackCalls, SlackRefusedError
from contract.question import Question

REMEMBERED = 4_096

log = structlog.get_logger(__name__)


class Thinking:
    """The status line goes away by itself when we answer, or after two minutes: `again_after_s` renews it."""

    def __init__(self, calls: SlackCalls, again_after_s: float = 90.0) -> None:
        self._calls = calls
        self._again_after_s = again_after_s
        self._shown: OrderedDict[str, float] = OrderedDict()
        self._status_refused = False

    async def show(self, question: Question, text: str) -> None:
        """Show it unless it is shown. What cannot be shown now is left out: the answer does not wait for it."""
        now = time.monotonic()
        if now - self._shown.get(question.id, -self._again_after_s) < self._again_after_s:
            return
        first = question.id not in self._shown
        self._shown[question.id] = now
        while len(self._shown) > REMEMBERED:
            self._shown.popitem(last=False)
        try:
            if not self._status_refused and await self._show_status(question, text):
                return
            if first:
                await self._calls.call(
                    "reactions.add", channel=question.channel, timestamp=question.message_id, name="eyes"
                )
        except (SendLaterError, SendAmbiguousError, SlackRefusedError) as error:
            log.debug("cannot show that we think", error=str(error))

    async def _show_status(self, question: Question, text: str) -> bool:
        try:
            await self._calls.call(
                "assistant.threads.setStatus",
                channel_id=question.channel,
                thread_ts=question.thread,
                status=text,
            )
        except SlackRefusedError as error:
            # What concerns this thread alone says nothing of the next one.
            self._status_refused = error.error in ("missing_scope", "not_allowed_token_type", "unknown_method")
            log.info("no status line here", error=error.error)
            return False
        return True
