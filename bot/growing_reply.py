"""The growing answer of one open question: only the newest text is shown, and not too often."""

from __future__ import annotations

import asyncio

import structlog

from bot.lock import LockLostError
from bot.platform import Reply, SendAmbiguousError, SendLaterError, SendRefusedError
from bot.reply_slot import ReplySlot
from bot.waiting import is_set_within

log = structlog.get_logger(__name__)


class GrowingReply:
    """Shows what is offered, at most once in `interval_s`, until it is closed. What it shows may be lost.

    `offered` is what was offered last.
    """

    def __init__(self, slot: ReplySlot, interval_s: float) -> None:
        self.slot = slot
        self._interval_s = interval_s
        self.offered: Reply | None = None
        self._newest: Reply | None = None
        self._offered = asyncio.Event()
        self._closed = asyncio.Event()

    def offer(self, reply: Reply) -> None:
        """Show this instead of what was offered before, when its time comes."""
        self.offered = self._newest = reply
        self._offered.set()

    def close(self) -> None:
        """Show nothing from now on; the end comes."""
        self._closed.set()
        self._offered.set()

    async def run(self) -> None:
        """Show what is offered until it is closed, or the platform refuses it."""
        while True:
            await self._offered.wait()
            self._offered.clear()
            pause_s = await self._show_newest()
            if self._closed.is_set():
                return
            if await is_set_within(self._closed, pause_s):
                return

    async def _show_newest(self) -> float:
        """Show it, and say how long to wait until the next time, in seconds."""
        async with self.slot.lock:
            if self._closed.is_set() or self._newest is None:
                return 0.0
            reply, self._newest = self._newest, None
            try:
                again_after_s = await self.slot.show(reply)
                if again_after_s is not None:
                    asyncio.get_running_loop().call_later(again_after_s, self._renew, reply)
            except SendLaterError as error:
                self._offer_again(reply)
                return max(self._interval_s, error.after_s)
            except SendAmbiguousError:
                self._offer_again(reply)
            except SendRefusedError as error:
                log.warning("a growing answer was refused", question=self.slot.question.id, error=str(error))
                self.close()
            except LockLostError:
                raise
            except Exception:
                log.exception("a growing answer cannot be shown", question=self.slot.question.id)
                self.close()
        return self._interval_s

    def _offer_again(self, reply: Reply) -> None:
        if self._newest is None:
            self.offer(reply)

    def _renew(self, reply: Reply) -> None:
        """Show again what would go away by itself, unless something else has come since."""
        if self.offered is reply:
            self.offer(reply)
