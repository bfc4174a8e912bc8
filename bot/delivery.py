"""Shows answers in the chat: each question's in one message, growing, and its end for sure and once.

The end of a question stays in the answers stream until it is shown and that is written down. Whatever process dies
at whatever moment, the next one goes on in the same message.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bot import manners, metrics, rendering
from bot.answer_stream import AnswerStream, Entry
from bot.growing_reply import GrowingReply
from bot.history import History
from bot.lock import AccountLock, LockLostError
from bot.partial_stream import partial_answers
from bot.platform import Platform, Reply, SendAmbiguousError, SendLaterError, SendRefusedError
from bot.remembered import Remembered
from bot.reply_slot import AtStep, ReplySlot, go_on
from bot.send_state import SendStage, SendState, SendStates
from bot.waiting import is_set_within
from contract import names
from contract.answer import FinalAnswer, Outcome, PartialAnswer
from contract.question import Question
from contract.wire import WireError
from health.tracing import record_question, record_span

MAX_IN_HAND = 256
"""Ends that are being shown at a time; the others stay in the stream."""
TRIES_OF_A_BROKEN_SEND = 5
PAUSE_FIRST_S, PAUSE_LAST_S = 0.2, 30.0

log = structlog.get_logger(__name__)


class Delivery:
    """Delivers one platform's answers. Ends of one conversation are shown in order, others at the same time.

    `redis` waits for Redis (`patient_client`), `reader` raises when it is gone (`plain_client`). Whatever needs `lock`
    raises LockLostError where another process has taken over: then `run` does.
    """

    def __init__(
        self,
        platform: Platform,
        redis: Redis,
        reader: Redis,
        lock: AccountLock,
        *,
        interval_s: float,
        history: History | None = None,
        at_step: AtStep = go_on,
    ) -> None:
        self._platform = platform
        self._redis = redis
        self._reader = reader
        self._interval_s = interval_s
        self._at_step = at_step
        self._lock = lock
        self._states = SendStates(redis, lock, platform.name, history)
        self._answers = AnswerStream(reader, platform.name, platform.account)
        self._growing: dict[str, GrowingReply] = {}
        # Enough that a partial answer which was overtaken by its end is always recognised.
        self._ended: Remembered[str, SendState | None] = Remembered()
        self._lanes: dict[str, deque[Entry]] = {}
        self._in_hand = asyncio.Semaphore(MAX_IN_HAND)
        self._stopping = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Deliver until `stop` is called; returns when what had been begun has come to a safe point."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            tasks.create_task(self._read_answers())
            tasks.create_task(self._read_partials())
            await self._stopping.wait()
            for growing in self._growing.values():
                growing.close()

    def stop(self) -> None:
        """Begin nothing new; what is in hand stays in the stream for the next process unless it is nearly shown."""
        self._stopping.set()

    def accepted(self, question: Question) -> None:
        """A question was taken in: show that we think, on a platform that wants it at once."""
        if self._platform.thinks_at_once and question.heard not in manners.UNCALLED:
            self.offer(question, rendering.thinking(question))

    def offer(self, question: Question, reply: Reply) -> None:
        """Show a reply to an open question that may be lost and will be edited."""
        if reply.is_notice and question.heard == "ambient":
            return
        if question.id not in self._ended and not self._stopping.is_set():
            self._growing_reply(question).offer(reply)

    def offered(self, question_id: str) -> Reply | None:
        """What was offered last for this open question in this process."""
        growing = self._growing.get(question_id)
        return growing.offered if growing else None

    def _growing_reply(self, question: Question) -> GrowingReply:
        growing = self._growing.get(question.id)
        if growing is None:
            slot = ReplySlot(question, self._platform, self._states, self._lock, self._at_step)
            growing = self._growing[question.id] = GrowingReply(slot, self._interval_s)
            self._start(growing.run())
        return growing

    async def _read_partials(self) -> None:
        async for batch in partial_answers(self._reader, self._platform.name, self._stopping):
            for partial in batch:
                await self._show_partial(partial)

    async def _show_partial(self, partial: PartialAnswer) -> None:
        growing = self._growing.get(partial.question_id)
        question = growing.slot.question if growing else await self.open_question(partial.question_id)
        if question and (partial.text or question.heard not in manners.UNCALLED):
            self.offer(question, rendering.growing(question, partial.text))

    async def open_question(self, question_id: str) -> Question | None:
        """The question of this id unless it has ended, or is not known any more."""
        async with self._redis.pipeline(transaction=False) as step:
            step.get(names.question_key(question_id))
            step.hget(names.delivery_key(question_id), "outcome")
            wire, outcome = await step.execute()
        if not wire or outcome:
            return None
        try:
            return Question.from_wire(wire)
        except WireError as error:
            log.error("a question cannot be read", question=question_id, error=str(error))
            return None

    async def _read_answers(self) -> None:
        async for entry in self._answers.entries(self._stopping):
            await self._in_hand.acquire()
            lane = self._lanes.get(entry.question.conversation)
            if lane is not None:
                lane.append(entry)
                continue
            self._lanes[entry.question.conversation] = deque([entry])
            self._start(self._run_lane(entry.question.conversation))

    async def _run_lane(self, conversation: str) -> None:
        """Show the ends of one conversation, one after another."""
        lane = self._lanes[conversation]
        while lane and not self._stopping.is_set():
            try:
                if await self._end(lane[0]):
                    self._answers.release(lane[0].id)
            except RedisError as error:
                # Redis is there and does not write: its disk is full, or it is a replica. That passes.
                log.error("the end of a question cannot be written down now", error=str(error))
                await is_set_within(self._stopping, PAUSE_LAST_S / 10)
                continue
            lane.popleft()
            self._in_hand.release()
        for _left_in_the_stream in self._lanes.pop(conversation):
            self._in_hand.release()

    async def _end(self, entry: Entry) -> bool:
        """Show how a question ended; False where a stop came before that."""
        self._at_step("an end is read")
        growing = self._close_growing(entry.question.id)
        slot = (
            growing.slot
            if growing
            else ReplySlot(entry.question, self._platform, self._states, self._lock, self._at_step)
        )
        async with slot.lock:
            state = await slot.state()
            outcome = entry.final.outcome
            before = self._ended.get(entry.question.id)
            if before and _is_shown(before, outcome) and not _is_shown(state, outcome):
                # A replica without the last writes has taken over: what was shown is known here alone.
                log.warning("Redis has lost that an end was shown: written down again", question=entry.question.id)
                state = slot.recall(before)
            if _is_shown(state, outcome):
                await slot.close(entry.id, state.stage, state.shown)
                return True
            if manners.keeps_silent(entry.question, entry.final) and state.stage is SendStage.PLANNED:
                await slot.close(entry.id, SendStage.DONE, outcome.value)
                metrics.silences.labels(self._platform.name, f"{entry.question.heard}_{outcome.value}").inc()
                return True
            stage = await self._show_end(slot, rendering.ended(entry.question, entry.final))
            if stage is None:
                return False
            await slot.close(entry.id, stage, outcome.value, entry.final if stage is SendStage.DONE else None)
            self._ended[entry.question.id] = await slot.state()
        if stage is SendStage.DONE:
            metrics.shown.labels(self._platform.name, outcome.value).inc()
            log.info("shown", question=entry.question.id, outcome=outcome.value, total_ms=entry.final.total_ms)
            _trace(entry.question, entry.final)
        else:
            metrics.sends_refused.labels(self._platform.name).inc()
        return True

    def _close_growing(self, question_id: str) -> GrowingReply | None:
        """Nothing but the end is shown for this question from now on."""
        if question_id not in self._ended:
            self._ended[question_id] = None
        growing = self._growing.pop(question_id, None)
        if growing:
            growing.close()
        return growing

    async def _show_end(self, slot: ReplySlot, reply: Reply) -> SendStage | None:
        """Try until the end is shown or refused for good; None where a stop came before that."""
        broken, pause_s = 0, PAUSE_FIRST_S
        while not self._stopping.is_set():
            try:
                await slot.show(reply)
                return SendStage.DONE
            except SendLaterError as error:
                await is_set_within(self._stopping, min(max(error.after_s, PAUSE_FIRST_S), PAUSE_LAST_S))
                continue
            except SendAmbiguousError:
                pass
            except SendRefusedError as error:
                log.error("the platform refused an answer", question=slot.question.id, error=str(error))
                return SendStage.REFUSED
            except (RedisError, LockLostError):
                raise
            except Exception:
                broken += 1
                log.exception("an answer cannot be shown", question=slot.question.id, tries=broken)
                if broken >= TRIES_OF_A_BROKEN_SEND:
                    return SendStage.REFUSED
            await is_set_within(self._stopping, pause_s)
            pause_s = min(2 * pause_s, PAUSE_LAST_S)
        return None

    def _start(self, work: Coroutine[None, None, None]) -> None:
        if self._tasks is None:
            raise RuntimeError("run() first")
        self._tasks.create_task(work)


def _is_shown(state: SendState, outcome: Outcome) -> bool:
    """Whether this end was shown already: its entry is left over from a crash, or came twice.

    A failure may yet be answered, and whatever was shown may yet be withdrawn.
    """
    if state.stage not in (SendStage.DONE, SendStage.REFUSED):
        return False
    if outcome is Outcome.WITHDRAWN:
        return state.shown == outcome
    return state.shown in (outcome, Outcome.ANSWERED, Outcome.WITHDRAWN)


def _trace(question: Question, final: FinalAnswer) -> None:
    """The question has come to its end, which somebody sees now."""
    now_s = time.time()
    attributes = {"platform": question.platform, "outcome": final.outcome.value}
    record_span(question.id, "deliver", question.accepted_at_s + final.total_ms / 1000, now_s, **attributes)
    record_question(question.id, question.accepted_at_s, now_s, **attributes)
