"""The one message that a question has in the chat: sent once, edited from then on, found again after a crash."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from bot import metrics
from bot.lock import AccountLock
from bot.platform import (
    Platform,
    Reply,
    SendAmbiguousError,
    SendLaterError,
    SendRefusedError,
    TooLateToEditError,
)
from bot.send_state import SendStage, SendState, SendStates
from contract.answer import FinalAnswer
from contract.question import Question

AtStep = Callable[[str], None]
"""Called between every two steps of a delivery with the name of the place; a chaos run kills the process in it."""
LOOK_FIRST_S, LOOK_LAST_S = 0.2, 10.0

log = structlog.get_logger(__name__)


def go_on(_step: str) -> None:
    """Do nothing between two steps, as always but in a chaos run."""


class ReplySlot:
    """Shows replies to one question in one place. Hold `lock` around `show`: a message is not sent and edited at once.

    `at_step` is called between every two steps.
    """

    def __init__(
        self, question: Question, platform: Platform, states: SendStates, lock: AccountLock, at_step: AtStep = go_on
    ) -> None:
        self.question = question
        self.lock = asyncio.Lock()
        self._platform = platform
        self._states = states
        self._held = lock
        self._at_step = at_step
        self._state: SendState | None = None
        self._last: Reply | None = None
        self._was_lost = False

    async def state(self) -> SendState:
        """How far the delivery is."""
        if self._state is None:
            self._state = await self._states.load(self.question.id)
        return self._state

    def recall(self, state: SendState) -> SendState:
        """Go on from this state, which Redis has lost."""
        self._state = state
        return state

    async def show(self, reply: Reply) -> float | None:
        """Make the chat show `reply`: send it, or edit what is there.

        Returns after how many seconds it has to be shown again, None where it stays. Raises SendRefusedError,
        SendLaterError or SendAmbiguousError; calling it again is right after the last two. Raises
        LockLostError before it shows anything where another process has taken over.
        """
        state = await self._settled()
        if reply.is_notice and not state.sent_id:
            await self._held.check()
            again_after_s = await self._platform.show_status(reply)
            if again_after_s is not None:
                return again_after_s
        if not state.sent_id:
            state = await self._send(reply, state)
        if reply != self._last:
            await self._edit(reply, state)
        return None

    async def close(self, entry_id: str, stage: SendStage, outcome: str, seen: FinalAnswer | None = None) -> None:
        """The end is shown (or refused): write that down and let go of the entry, in one step.

        `seen` is the end where the chat has seen it now.
        """
        self._at_step("before the end is written down")
        self._state = replace(await self.state(), stage=stage, shown=outcome)
        await self._states.close(self.question, self._state, entry_id, seen)
        self._at_step("the end is written down")

    async def _send(self, reply: Reply, state: SendState) -> SendState:
        self._at_step("before sending is written down")
        await self._write(replace(state, stage=SendStage.SENDING, sending_at_s=time.time()))
        self._at_step("sending is written down")
        # Whoever stood still since may have been replaced by a process that has sent it meanwhile.
        await self._held.check()
        try:
            sent_id = await self._platform.send(reply)
        except (SendLaterError, SendRefusedError):
            await self._write(replace(state, stage=SendStage.PLANNED))
            raise
        except SendAmbiguousError:
            metrics.sends_ambiguous.labels(self._platform.name).inc()
            await self._write(replace(state, stage=SendStage.AMBIGUOUS, sending_at_s=time.time()))
            raise
        self._at_step("sent, and not written down")
        state = await self._write(replace(state, stage=SendStage.SENT, sent_id=sent_id))
        # A platform that recognises the same send may have answered with what it took before, of another text.
        self._last = None if self._was_lost else reply
        self._was_lost = False
        self._at_step("sent, and written down")
        return state

    async def _edit(self, reply: Reply, state: SendState) -> None:
        self._at_step("before an edit")
        await self._held.check()
        try:
            await self._platform.edit(state.sent_id, reply)
        except TooLateToEditError:
            # What is growing may stand still; the end must be shown, in a new message if need be.
            if reply.outcome is None:
                raise
            planned = replace(state, stage=SendStage.PLANNED, sent_id="", replaced_id=state.sent_id)
            await self._send(reply, await self._write(planned))
            return
        self._last = reply
        self._at_step("edited")

    async def _settled(self) -> SendState:
        """The state, after a send whose end nobody saw has been looked up in the chat."""
        state = await self.state()
        if state.stage not in (SendStage.SENDING, SendStage.AMBIGUOUS):
            return state
        if time.time() - state.sending_at_s < self._platform.same_send_is_once_for_s:
            self._was_lost, sent_id = True, ""
        else:
            sent_id = await self._look(state)
        self._at_step("looked for a lost send")
        stage = SendStage.SENT if sent_id else SendStage.PLANNED
        return await self._write(replace(state, stage=stage, sent_id=sent_id))

    async def _look(self, state: SendState) -> str:
        """Look until the reply is found, or until it would have to be there; empty where it is not."""
        # What the platform took may show up late; only a look after that time says that it is not there.
        left_s = state.sending_at_s + self._platform.settle_s - time.time()
        settled_at_s = time.monotonic() + min(left_s, self._platform.settle_s)
        wait_s = LOOK_FIRST_S
        while True:
            settled = time.monotonic() >= settled_at_s
            try:
                found = await self._platform.find(self.question)
            except SendRefusedError as error:
                log.warning("cannot look for a lost send: sent again", question=self.question.id, error=str(error))
                return ""
            except (SendLaterError, SendAmbiguousError):
                settled, found = False, None
            if found and found != state.replaced_id:
                return found
            if settled:
                return ""
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LOOK_LAST_S)

    async def _write(self, state: SendState) -> SendState:
        await self._states.write(self.question.id, state)
        self._state = state
        return state
