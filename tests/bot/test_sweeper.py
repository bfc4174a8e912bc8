"""Nobody who asked is left without a word, whatever became of the question."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis.asyncio

from bot import rendering
from bot.inbox import Inbox
from bot.platform import Reply
from bot.redis_link import patient_client
from bot.sweeper import Sweeper
from contract import names
from contract.answer import FinalAnswer, Outcome
from contract.question import Question
from tests.bot.answering import echo, finish, take
from tests.bot.conftest import make_question
from tests.valkey import ValkeyServer


@dataclass
class Board:
    """Where the sweeper's sentences go."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    replies: dict[str, Reply] = field(default_factory=dict)

    def offer(self, question: Question, reply: Reply) -> None:
        """Write it down."""
        self.texts.setdefault(question.id, []).append(reply.text)
        self.replies[question.id] = reply

    def offered(self, question_id: str) -> Reply | None:
        """What was written down last for it."""
        return self.replies.get(question_id)


@dataclass
class Stage:
    """What a test of the sweeper works with."""

    inbox: Inbox
    sweeper: Sweeper
    board: Board
    redis: redis.asyncio.Redis

    async def sweep_in(self, later_s: float) -> None:
        """Sweep as if so much later."""
        await self.sweeper.sweep(time.time() + later_s)

    async def ends(self) -> list[tuple[str, Outcome]]:
        """The questions that have got their end, with it."""
        entries: Any = await self.redis.xrange(names.answers_stream("chat"))
        finals = [FinalAnswer.from_wire(fields["final"]) for _id, fields in entries]
        return [(Question.from_wire(final.question).id, final.outcome) for final in finals]


@pytest.fixture
async def stage(valkey: ValkeyServer) -> AsyncIterator[Stage]:
    """Notices after 5 s, the end after 600 s."""
    async with patient_client(valkey.address) as client:
        inbox = Inbox(client, max_queued=100, job_timeout_s=300)
        board = Board()
        sweeper = Sweeper(client, inbox, board, platform="chat", queued_notice_after_s=5, answer_ttl_s=600)
        yield Stage(inbox, sweeper, board, client)


async def test_who_waits_is_told_the_place_once(stage: Stage) -> None:
    """After the notice time each waiting asker learns how many are before, also behind one's own thread, and once."""
    questions = [make_question(1, thread="a"), make_question(2, thread="b"), make_question(3, thread="b")]
    for question in questions:
        await stage.inbox.accept(question)
    await stage.sweep_in(4)
    assert not stage.board.texts
    await stage.sweep_in(6)
    await stage.sweep_in(7)
    assert [stage.board.texts[question.id] for question in questions] == [
        ["Queued, you are next."],
        ["Queued, 1 before you."],
        ["Queued, 2 before you."],
    ]


async def test_who_has_seen_something_is_told_no_place(stage: Stage) -> None:
    """A question with a message in the chat already, shown before a restart, gets no notice in its place."""
    question = make_question()
    await stage.inbox.accept(question)
    await stage.redis.hset(names.delivery_key(question.id), "state", "sent")
    await stage.sweep_in(6)
    assert not stage.board.texts


async def test_who_has_seen_that_we_think_is_told_the_place(stage: Stage) -> None:
    """Where a sign that we think came at once, the place in the queue is told all the same; not when work has begun."""
    waiting, begun = make_question(1, thread="a"), make_question(2, thread="b")
    for question in (begun, waiting):
        await stage.inbox.accept(question)
        stage.board.offer(question, rendering.thinking(question))
        # A platform that shows it as a message has written that down.
        await stage.redis.hset(names.delivery_key(question.id), "state", "sent")
    assert await take(stage.redis) == begun
    await stage.sweep_in(6)
    await stage.sweep_in(7)
    assert stage.board.texts == {begun.id: ["Thinking…"], waiting.id: ["Thinking…", "Queued, you are next."]}


async def test_who_has_seen_the_answer_begin_is_told_no_place(stage: Stage) -> None:
    """A question that went back to the queue keeps showing what was made of its answer."""
    question = make_question()
    await stage.inbox.accept(question)
    stage.board.offer(question, rendering.growing(question, "The beginning"))
    await stage.sweep_in(6)
    assert stage.board.texts == {question.id: ["The beginning"]}


async def test_work_that_has_begun_unseen_is_shown(stage: Stage) -> None:
    """Where the first partial answer was lost, the asker sees all the same that we think."""
    question = make_question()
    await stage.inbox.accept(question)
    await take(stage.redis)
    await stage.sweep_in(6)
    assert stage.board.texts == {question.id: ["Thinking…"]}


async def test_a_question_of_a_newer_version_is_left_to_a_newer_bot(stage: Stage) -> None:
    """A bot of the release before ends nothing that it cannot read, and keeps it in its books."""
    question = make_question()
    await stage.inbox.accept(question)
    newer = question.to_wire().replace('{"v":1', '{"v":2', 1)
    await stage.redis.set(names.question_key(question.id), newer)

    await stage.sweep_in(601)

    assert await stage.ends() == []
    assert await stage.redis.zscore(names.open_key("chat"), question.id) is not None


async def test_a_question_that_waited_too_long_is_told_so(stage: Stage) -> None:
    """A question older than its time is taken back; one that a worker has begun is not."""
    begun, waiting = make_question(1), make_question(2, thread="b")
    await stage.inbox.accept(begun)
    await stage.inbox.accept(waiting)
    await take(stage.redis)
    await stage.sweep_in(601)
    assert await stage.ends() == [(waiting.id, Outcome.EXPIRED)]
    assert await take(stage.redis) is None


async def test_a_question_whose_worker_died_and_was_not_replaced_is_told_in_time(stage: Stage) -> None:
    """A question that a worker began before it died ends when its time is over, where no other worker has taken it."""
    living, forsaken = make_question(1), make_question(2, thread="b")
    for question, worker in ((living, "w1"), (forsaken, "w2")):
        await stage.inbox.accept(question)
        await take(stage.redis)
        await stage.redis.hset(names.job_key(question.id), "worker_name", worker)
    await stage.redis.hset("rq:worker:w1", "state", "busy")
    await stage.sweep_in(599)
    assert await stage.ends() == []
    await stage.sweep_in(601)
    assert await stage.ends() == [(forsaken.id, Outcome.EXPIRED)]
    assert await stage.redis.hget(names.job_key(forsaken.id), "status") == "canceled"


@pytest.mark.parametrize("lost", ["deleted", "canceled", "failed"])
async def test_a_question_whose_job_is_gone_has_failed(stage: Stage, lost: str) -> None:
    """A job that was emptied, cancelled or failed behind our back ends in an apology, and its thread goes on."""
    gone, following = make_question(1), make_question(2)
    await stage.inbox.accept(gone)
    await stage.inbox.accept(following)
    await stage.redis.lrem(names.QUEUE_KEY, 0, gone.id)
    if lost == "deleted":
        await stage.redis.delete(names.job_key(gone.id))
    else:
        await stage.redis.hset(names.job_key(gone.id), "status", lost)
    await stage.sweep_in(3)
    assert await stage.ends() == [(gone.id, Outcome.FAILED)]
    assert await take(stage.redis) == following


async def test_a_question_that_has_its_end_is_left_to_the_delivery(stage: Stage) -> None:
    """An end that is not shown yet is not touched; what was left open after it was shown is closed."""
    question = make_question()
    await stage.inbox.accept(question)
    await finish(stage.redis, echo(question))
    await stage.sweep_in(700)
    assert await stage.redis.zcard(names.open_key("chat")) == 1
    assert len(await stage.ends()) == 1
    await stage.redis.hset(names.delivery_key(question.id), "state", "done")
    await stage.sweep_in(700)
    assert await stage.redis.zcard(names.open_key("chat")) == 0


async def test_an_open_question_that_nobody_knows_is_let_go_of(stage: Stage) -> None:
    """An id without a question is logged and forgotten."""
    await stage.redis.zadd(names.open_key("chat"), {"q-unknown": 1.0})
    await stage.sweep_in(0)
    assert await stage.redis.zcard(names.open_key("chat")) == 0
