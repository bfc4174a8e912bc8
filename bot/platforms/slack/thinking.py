"""Shows notices before there is a message: a status line in the thread, or eyes on the question."""

from __future__ import annotations

import structlog

from bot import rendering
from bot.platform import Reply, SendAmbiguousError, SendLaterError
from bot.platforms.slack.calls import SlackCalls, SlackRefusedError
from bot.remembered import Remembered
from contract.question import Question

NEVER_AGAIN_S = 24 * 3_600.0
UNDER_WAY_AT_MOST = 4
"""Calls at a time: when many ask at once, taking their questions in comes first."""
ROOM_AGAIN_S = 0.1
LATER_AT_LEAST_S = 5.0

log = structlog.get_logger(__name__)


class Thinking:
    """The status line goes away by itself when we answer, or after two minutes: `again_after_s` renews it."""

    def __init__(self, calls: SlackCalls, again_after_s: float = 90.0) -> None:
        self._calls = calls
        self._again_after_s = again_after_s
        self._with_eyes: Remembered[str, None] = Remembered()
        self._status_refused = False
        self._under_way = 0

    async def show(self, reply: Reply) -> float | None:
        """Show a notice; see `Platform.show_status`. Nothing is waited for: the answer may come meanwhile."""
        if self._under_way >= UNDER_WAY_AT_MOST:
            return ROOM_AGAIN_S
        self._under_way += 1
        try:
            if not self._status_refused and await self._show_status(reply):
                return self._again_after_s
            if reply != rendering.thinking(reply.question):
                return None
            await self._show_eyes(reply.question)
        except SendLaterError as error:
            return max(error.after_s, LATER_AT_LEAST_S)
        except SendAmbiguousError as error:
            log.debug("cannot show that we think", error=str(error))
            return self._again_after_s
        finally:
            self._under_way -= 1
        return NEVER_AGAIN_S

    async def _show_status(self, reply: Reply) -> bool:
        try:
            await self._calls.call(
                "assistant.threads.setStatus",
                channel_id=reply.question.channel,
                thread_ts=reply.question.thread,
                status=reply.text,
            )
        except SlackRefusedError as error:
            # What concerns this thread alone says nothing of the next one.
            self._status_refused = error.error in ("missing_scope", "not_allowed_token_type", "unknown_method")
            log.info("no status line here", error=error.error)
            return False
        return True

    async def _show_eyes(self, question: Question) -> None:
        if question.id in self._with_eyes:
            return
        try:
            await self._calls.call(
                "reactions.add", channel=question.channel, timestamp=question.message_id, name="eyes"
            )
        except SlackRefusedError as error:
            log.debug("cannot put eyes on a question", error=error.error)
        self._with_eyes[question.id] = None
