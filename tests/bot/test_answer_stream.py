"""What stands in the stream of answers: each entry is shown once and in order, or let go of, and holds up no other."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import redis.asyncio
import structlog

from bot.platform import SendLaterError
from contract import names
from contract.answer import FinalAnswer, Outcome
from tests.bot.answering import echo, finish
from tests.bot.conftest import MakeSettings, ended, make_question, running_bot, until
from tests.bot.crashing import nothing_is_open
from tests.fakes.chat import FakeChat
from tests.fakes.chat_platform import ChatPlatform


async def test_ends_of_one_thread_are_shown_in_order_and_others_are_not_held_up(
    chat: FakeChat, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """While a thread's first answer has to wait, its second does too, and another thread's is shown."""
    held = asyncio.Event()

    class Held(ChatPlatform):
        async def send(self, reply):  # type: ignore[no-untyped-def]
            if reply.question.text == "first" and not held.is_set():
                raise SendLaterError("not now", 0.05)
            return await super().send(reply)

    async with running_bot(Held(chat.url), make_settings()):
        questions = [
            make_question(1, text="first", thread="a"),
            make_question(2, text="second", thread="a"),
            make_question(3, text="other", thread="b"),
        ]
        for question in questions:
            await finish(redis_client, echo(question))
        await ended(chat, "m3")
        assert not chat.replies("m1")
        assert not chat.replies("m2")
        held.set()
        first, second = await ended(chat, "m1"), await ended(chat, "m2")
    assert first.ended_at is not None
    assert second.ended_at is not None
    assert first.ended_at < second.ended_at


async def test_the_same_end_twice_is_shown_once(
    chat: FakeChat, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A second entry with the same end changes nothing and leaves the stream."""
    question = make_question()
    final = echo(question)
    async with running_bot(ChatPlatform(chat.url), make_settings()):
        await finish(redis_client, final)
        await ended(chat, "m1")
        await redis_client.xadd(names.answers_stream("chat"), {"final": final.to_wire()})
        await until(lambda: nothing_is_open(redis_client, "chat"))
    (post,) = chat.replies("m1")
    assert len(post.versions) == 1


async def test_an_answer_after_a_failure_takes_its_place(
    chat: FakeChat, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A question that failed and was then requeued by hand is answered in the message of its failure."""
    question = make_question()
    async with running_bot(ChatPlatform(chat.url), make_settings()):
        await finish(redis_client, FinalAnswer(question.to_wire(), Outcome.FAILED))
        failed = await ended(chat, "m1")
        assert question.id in failed.text
        assert await finish(redis_client, echo(question)) == 1
        await asyncio.to_thread(chat.wait_for, lambda: chat.replies("m1")[0].text.startswith("You asked"))
        await until(lambda: nothing_is_open(redis_client, "chat"))
    assert len(chat.replies("m1")) == 1


async def test_entries_of_a_consumer_that_is_gone_are_taken_over(
    chat: FakeChat, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """What a bot of another name had in hand when it died is delivered by this one."""
    stream = names.answers_stream("chat")
    await redis_client.xgroup_create(stream, names.DELIVERY_GROUP, id="0", mkstream=True)
    await finish(redis_client, echo(make_question()))
    assert await redis_client.xreadgroup(names.DELIVERY_GROUP, "another account", {stream: ">"})
    async with running_bot(ChatPlatform(chat.url), make_settings()):
        await ended(chat, "m1")
        await until(lambda: nothing_is_open(redis_client, "chat"))


async def test_an_entry_that_is_no_answer_is_dropped(
    chat: FakeChat, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Garbage in the stream is logged and let go of; what comes after it is shown."""
    stream = names.answers_stream("chat")
    no_question = '{"v":1,"kind":"final","question":"?","outcome":"failed"}'
    for name, wire in (("final", "{"), ("else", "?"), ("final", no_question)):
        await redis_client.xadd(stream, {name: wire})
    with structlog.testing.capture_logs() as logs:
        async with running_bot(ChatPlatform(chat.url), make_settings()):
            await finish(redis_client, echo(make_question()))
            await ended(chat, "m1")
            await until(lambda: nothing_is_open(redis_client, "chat"))
    assert len([line for line in logs if "no answer" in line["event"]]) == 3


async def test_an_answer_of_a_newer_version_stays_in_the_stream(
    chat: FakeChat, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A worker that is newer than the bot loses no answer: the entry waits for a bot that reads it."""
    final = echo(make_question())
    newer = replace(final, question=final.question.replace('{"v":1', '{"v":2', 1))
    wires = (final.to_wire().replace('{"v":1', '{"v":2', 1), newer.to_wire())
    waiting = [await redis_client.xadd(names.answers_stream("chat"), {"final": wire}) for wire in wires]
    async with running_bot(ChatPlatform(chat.url), make_settings()):
        await finish(redis_client, echo(make_question(2)))
        await ended(chat, "m2")
        await until(lambda: _has_length(redis_client, 2))
    entries: Any = await redis_client.xrange(names.answers_stream("chat"))
    assert [left for left, _fields in entries] == waiting


async def _has_length(client: redis.asyncio.Redis, length: int) -> bool:
    return await client.xlen(names.answers_stream("chat")) == length
