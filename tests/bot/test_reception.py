"""Edits, deletions and feedback reach the question that they are about."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import redis
import redis.asyncio

from bot import inbox
from bot.assembly import make_reception
from bot.chat_event import FeedbackGiven, MessageDeleted, MessageEdited
from bot.chat_message import ChatMessage
from bot.delivery import Delivery
from bot.feedback import Feedback
from bot.history import History
from bot.inbox import InboxError
from bot.lock import AccountLock
from bot.reception import Reception
from bot.redis_link import patient_client, plain_client
from contract import names
from contract.answer import FinalAnswer, Outcome
from contract.question import question_id
from tests.bot.conftest import MakeSettings
from tests.fakes.chat_platform import ChatPlatform
from tests.valkey import ValkeyServer
from tests.workers.questions import rq_queue, wait_for_finals
from tests.workers.scripted_worker import RUNS_KEY, WorkerThread


def written(text: str = "sleep:0", message_id: str = "m1", **changes: Any) -> ChatMessage:
    """A message of the platform that the workers' tests look at."""
    message = ChatMessage(
        platform="test",
        tenant="team",
        channel="general",
        thread="thread",
        message_id=message_id,
        sender="u-ann",
        sender_name="Ann",
        text=text,
        at_s=time.time(),
        mentions_us=True,
    )
    return replace(message, **changes)


ID = question_id("test", "team", "general", "m1")
DELETED = MessageDeleted("test", "team", "general", "m1")


@pytest.fixture
async def reception(valkey: ValkeyServer, make_settings: MakeSettings) -> AsyncIterator[Reception]:
    """A reception on the session's server."""
    async with patient_client(valkey.address) as client, plain_client(valkey.address) as reader:
        platform = ChatPlatform("http://127.0.0.1:1")
        delivery = Delivery(platform, client, reader, AccountLock(client, "chat", "test"), interval_s=1)
        yield make_reception(make_settings(), client, "test", delivery, History(client, 1))


@pytest.fixture
def connection(valkey: ValkeyServer) -> Any:
    """A client of the session's server."""
    with redis.Redis.from_url(valkey.url) as client:
        yield client


def run_of(connection: redis.Redis) -> bool:
    return bool(connection.llen(RUNS_KEY))


async def until_begun(connection: redis.Redis) -> None:
    end_s = time.monotonic() + 20
    while not run_of(connection):
        assert time.monotonic() < end_s
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)  # the engine is asked right after


def text_of(final: FinalAnswer) -> str:
    return final.text


async def test_a_question_edited_while_it_waits_is_answered_as_it_reads_now(
    reception: Reception, valkey: ValkeyServer, connection: redis.Redis
) -> None:
    """One answer, to the new text."""
    await reception.receive(written("sleep:0"))
    await reception.receive(MessageEdited(written("sleep:0.01")))
    with WorkerThread(valkey.url):
        (final,) = await asyncio.to_thread(wait_for_finals, connection, 1)

    assert text_of(final) == "sleep:0.01 done"


async def test_a_question_edited_while_it_is_answered_is_begun_anew(
    reception: Reception, valkey: ValkeyServer, connection: redis.Redis
) -> None:
    """The worker drops the old text and answers the new one, once."""
    with WorkerThread(valkey.url):
        await reception.receive(written("endless"))
        await until_begun(connection)
        await reception.receive(MessageEdited(written("sleep:0")))
        (final,) = await asyncio.to_thread(wait_for_finals, connection, 1)

    assert text_of(final) == "sleep:0 done"
    assert connection.llen(RUNS_KEY) == 2


async def test_an_edit_after_the_answer_changes_nothing(
    reception: Reception, valkey: ValkeyServer, connection: redis.Redis
) -> None:
    """What was answered stays answered."""
    await reception.receive(written("sleep:0"))
    with WorkerThread(valkey.url):
        await asyncio.to_thread(wait_for_finals, connection, 1)
    await reception.receive(MessageEdited(written("sleep:0.01")))

    assert rq_queue(connection).count == 0
    assert connection.xlen(names.answers_stream("test")) == 1


async def test_an_edit_that_adds_the_mention_asks(reception: Reception, connection: redis.Redis) -> None:
    """A message that was not for us and is now is a question."""
    await reception.receive(written("sleep:0", mentions_us=False))
    assert rq_queue(connection).count == 0
    await reception.receive(MessageEdited(written("sleep:0")))

    assert rq_queue(connection).job_ids == [ID]


async def test_a_deleted_question_that_waits_is_not_answered(reception: Reception, connection: redis.Redis) -> None:
    """It leaves the queue, and its end says that it was stopped; a second deletion changes nothing."""
    await reception.receive(written("sleep:0"))
    await reception.receive(DELETED)
    await reception.receive(DELETED)

    assert rq_queue(connection).count == 0
    (final,) = wait_for_finals(connection, 1)
    assert final.outcome is Outcome.STOPPED


async def test_a_deleted_question_stops_its_answer(
    reception: Reception, valkey: ValkeyServer, connection: redis.Redis
) -> None:
    """The worker that has begun stops, and the thread goes on with its next question."""
    with WorkerThread(valkey.url):
        await reception.receive(written("endless"))
        await until_begun(connection)
        await reception.receive(written("sleep:0", "m2"))
        await reception.receive(DELETED)
        finals = await asyncio.to_thread(wait_for_finals, connection, 2)

    assert [final.outcome for final in finals] == [Outcome.STOPPED, Outcome.ANSWERED]


async def test_deleting_what_was_no_question_is_nothing(reception: Reception, connection: redis.Redis) -> None:
    """Most deleted messages were none of ours."""
    await reception.receive(DELETED)

    assert connection.keys("fennel:*") == []


async def test_feedback_is_kept(reception: Reception, connection: redis.Redis) -> None:
    """Who thought what of which answer stands in Redis, and who changes their mind has one verdict."""
    await reception.receive(FeedbackGiven("test", ID, "u-bob", "bad", 12.5, "wrong page"))

    await reception.receive(FeedbackGiven("test", ID, "u-bob", "good", 13.5))

    (key,) = connection.zrange(names.FEEDBACK_KEY, 0, -1)
    kept = Feedback.from_wire(connection.get(key))  # type: ignore[arg-type]
    assert (kept.question_id, kept.by, kept.verdict, kept.at_s, kept.final) == (ID, "u-bob", "good", 13.5, "")


@pytest.mark.parametrize("is_edit", [False, True], ids=["the message", "an edit of it"])
async def test_what_comes_again_is_not_acknowledged_before_the_replicas_have_its_question(
    valkey: ValkeyServer, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, is_edit: bool
) -> None:
    """A question whose replica was away stays in Redis, and its event comes again: known, and no safer than before."""
    monkeypatch.setattr(inbox, "REPLICAS_WITHIN_MS", 50)
    async with patient_client(valkey.address) as client, plain_client(valkey.address) as reader:
        delivery = Delivery(
            ChatPlatform("http://127.0.0.1:1"), client, reader, AccountLock(client, "chat", "test"), interval_s=1
        )
        settings = make_settings(redis={"replicas": 1})
        one = make_reception(settings, client, "test", delivery, History(client, 1))
        for event in (written(), MessageEdited(written()) if is_edit else written()):
            with pytest.raises(InboxError, match="0 of 1 replicas of Redis have it"):
                await one.receive(event)
        assert await client.llen(names.QUEUE_KEY) == 1
