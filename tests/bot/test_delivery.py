"""Each accepted question is answered in one message, whatever dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio
import structlog

from bot import answer_stream
from bot.lock import AccountLock
from bot.platform import SendLaterError
from bot.run import run_bot
from bot.send_state import SendStage, SendState, SendStates
from contract import names
from contract.answer import FinalAnswer, Outcome
from contract.question import Question
from tests.bot.answering import answering, echo, finish, publish, take
from tests.bot.conftest import MakeSettings, make_question, running_bot, until
from tests.bot.crashing import STEPS, Crash, crash_at, nothing_is_open
from tests.fakes.chat import FakeChat, Post
from tests.fakes.chat_platform import ChatPlatform, Resolve
from tests.valkey import ValkeyServer


def _has_crashed(error: BaseException | None) -> bool:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return isinstance(error, Crash)


async def ended(chat: FakeChat, message_id: str) -> Post:
    """Wait for the end of a question without holding up the bot's loop."""
    return await asyncio.to_thread(chat.wait_ended, message_id, 8)


async def test_a_question_is_answered_in_one_message_with_its_sources(
    chat: FakeChat, make_settings: MakeSettings, valkey: ValkeyServer, redis_client: redis.asyncio.Redis
) -> None:
    """An event becomes a question, and its answer with numbered sources the only reply to it."""
    async with running_bot(ChatPlatform(chat.url), make_settings()), answering(valkey.address):
        message_id = chat.write("How many days off?")
        post = await ended(chat, message_id)
        await until(lambda: nothing_is_open(redis_client, "chat"))
    assert post.text == "You asked: How many days off?\n\nSources:\n[1] Holidays — handbook/holidays.md"
    assert len(chat.replies(message_id)) == 1
    assert not sum(map(len, chat.threads.values()))


async def test_the_answer_grows_in_the_same_message(
    chat: FakeChat, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Thinking, the growing text and the end are shown one after another in one message, and nothing after the end."""
    async with running_bot(ChatPlatform(chat.url), make_settings()):
        message_id = chat.write("How many days off?")
        question = await until(lambda: take(redis_client))
        for text in ("", "Everybody", "Everybody has 30"):
            await publish(redis_client, question, text)
            shown = text or "Thinking…"
            await asyncio.to_thread(
                chat.wait_for, lambda shown=shown: [post for post in chat.replies(message_id) if post.text == shown]
            )
        await finish(redis_client, echo(question))
        await publish(redis_client, question, "a late partial answer")
        await ended(chat, message_id)
        other = chat.write("And now?", thread="t2")
        await until(lambda: take(redis_client))
    (post,) = chat.replies(message_id)
    assert post.versions[:3] == ["Thinking…", "Everybody", "Everybody has 30"]
    assert len(post.versions) == 4
    assert not chat.replies(other)


async def test_only_the_newest_text_is_shown(
    chat: FakeChat, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A text that is overtaken within the interval is never sent."""
    settings = make_settings(bot={"delivery_interval_s": 0.5})
    async with running_bot(ChatPlatform(chat.url), settings):
        message_id = chat.write("How many days off?")
        question = await until(lambda: take(redis_client))
        await publish(redis_client, question, "first")
        await asyncio.to_thread(chat.wait_for, lambda: chat.replies(message_id))
        for number in range(20):
            await publish(redis_client, question, f"text {number}")
        await asyncio.to_thread(chat.wait_for, lambda: len(chat.replies(message_id)[0].versions) >= 2)
        await finish(redis_client, echo(question))
        await ended(chat, message_id)
    (post,) = chat.replies(message_id)
    assert post.versions[:2] == ["first", "text 19"]


@pytest.mark.parametrize("resolve", ["history", "key"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_at_any_step_leaves_one_message(
    chat: FakeChat, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, step: str, resolve: Resolve
) -> None:
    """Whatever step the process dies at, the next process ends the question in the same message."""
    settings = make_settings()
    first = ChatPlatform(chat.url, resolve=resolve, settle_s=0.1)
    bot = asyncio.create_task(run_bot(first, settings, asyncio.Event(), at_step=crash_at(step), lease_s=1))
    message_id = chat.write("How many days off?")
    question = await until(lambda: take(redis_client))
    if step in ("before an edit", "edited"):
        await publish(redis_client, question, "")
        await asyncio.to_thread(chat.wait_for, lambda: chat.replies(message_id))
    await finish(redis_client, echo(question))
    await asyncio.wait([bot], timeout=10)
    assert _has_crashed(bot.exception())
    async with running_bot(ChatPlatform(chat.url, resolve=resolve, settle_s=0.1), settings):
        post = await ended(chat, message_id)
        await until(lambda: nothing_is_open(redis_client, "chat"))
    assert post.text.startswith("You asked: How many days off?")
    assert len(chat.replies(message_id)) == 1


@pytest.mark.parametrize("resolve", ["history", "key"])
@pytest.mark.parametrize("fault", ["commit_then_drop", "drop", "commit_late", "rate_limited", "slow"])
async def test_a_send_that_goes_wrong_is_shown_once(
    chat: FakeChat, make_settings: MakeSettings, valkey: ValkeyServer, fault: str, resolve: Resolve
) -> None:
    """A broken connection before, in or after the send, a refusal for now and a slow platform all end in one reply."""
    chat.fail("post", fault, for_s=0.2, after_s=0.1)
    platform = ChatPlatform(chat.url, resolve=resolve)
    async with running_bot(platform, make_settings()), answering(valkey.address):
        message_id = chat.write("How many days off?")
        await ended(chat, message_id)
        await asyncio.to_thread(chat.wait_for, lambda: not chat.late_posts)
    assert len(chat.replies(message_id)) == 1


@pytest.mark.parametrize("resolve", ["history", "key"])
async def test_a_platform_where_much_goes_wrong_shows_each_answer_once(
    make_settings: MakeSettings, valkey: ValkeyServer, resolve: Resolve
) -> None:
    """With one call in five going wrong in a way drawn by chance, each question has one reply, in order."""
    with FakeChat(redeliver_after_s=0.3, fault_rate=0.2, seed=7) as chat:
        platform = ChatPlatform(chat.url, resolve=resolve)
        async with running_bot(platform, make_settings()), answering(valkey.address, partials=("You",)):
            message_ids = [chat.write(f"question {number}", thread=f"t{number % 10}") for number in range(30)]
            posts = [await ended(chat, message_id) for message_id in message_ids]
            await asyncio.to_thread(chat.wait_for, lambda: not chat.late_posts)
        assert [len(chat.replies(message_id)) for message_id in message_ids] == [1] * 30
    for thread in range(10):
        ends = [post.ended_at or 0 for post in posts[thread::10]]
        assert ends == sorted(ends)


async def test_an_edit_that_breaks_is_done_again(
    chat: FakeChat, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A broken edit shows the end all the same, in the message that is there."""
    async with running_bot(ChatPlatform(chat.url), make_settings()):
        message_id = chat.write("How many days off?")
        question = await until(lambda: take(redis_client))
        await publish(redis_client, question, "")
        await asyncio.to_thread(chat.wait_for, lambda: chat.replies(message_id))
        chat.fail("edit", "drop", times=2)
        await finish(redis_client, echo(question))
        await ended(chat, message_id)
    assert len(chat.replies(message_id)) == 1


async def test_an_end_that_cannot_be_edited_in_is_sent_anew(
    chat: FakeChat, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Where the platform lets the message be edited no more, the end comes in a new one, even if that send breaks."""
    async with running_bot(ChatPlatform(chat.url), make_settings()):
        message_id = chat.write("How many days off?")
        question = await until(lambda: take(redis_client))
        await publish(redis_client, question, "")
        await asyncio.to_thread(chat.wait_for, lambda: chat.replies(message_id))
        chat.fail("edit", "too_late", times=100)
        chat.fail("post", "drop")
        await finish(redis_client, echo(question))
        await ended(chat, message_id)
    assert [post.is_end for post in chat.replies(message_id)] == [False, True]


async def test_an_answer_that_was_handed_to_a_process_that_was_replaced_is_shown(
    chat: FakeChat, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bot that read an answer while another one took over leaves it in nobody's hand: it is looked for again."""
    monkeypatch.setattr(answer_stream, "LOOK_AGAIN_S", 0.2)
    stream = names.answers_stream("chat")
    async with running_bot(ChatPlatform(chat.url), make_settings()):
        message_id = chat.write("Who has it?")
        question = await until(lambda: take(redis_client))
        async with redis_client.pipeline(transaction=True) as step:
            step.xadd(stream, {"final": echo(question).to_wire()})
            step.xreadgroup(names.DELIVERY_GROUP, "replaced", {stream: ">"})
            _, read = await step.execute()
        assert read
        await ended(chat, message_id)


async def test_an_end_whose_showing_redis_has_lost_is_not_shown_twice(
    chat: FakeChat, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A replica without the last writes has taken over, and the answer comes again: the bot knows that it showed it."""
    async with running_bot(ChatPlatform(chat.url), make_settings()):
        message_id = chat.write("Who has seen it?")
        question = await until(lambda: take(redis_client))
        await finish(redis_client, echo(question))
        await ended(chat, message_id)
        key = names.delivery_key(question.id)
        await until(lambda: redis_client.hexists(key, "shown"))
        await redis_client.delete(key)
        await redis_client.xadd(names.answers_stream("chat"), {"final": echo(question).to_wire()})
        await until(lambda: redis_client.hexists(key, "shown"))
    assert len(chat.replies(message_id)) == 1


async def test_a_refused_answer_is_given_up_and_holds_up_nobody(
    chat: FakeChat, make_settings: MakeSettings, valkey: ValkeyServer, redis_client: redis.asyncio.Redis
) -> None:
    """An answer that the platform refuses is tried once, written down as refused, and the next one is shown."""
    for kind in ("post", "edit"):
        chat.fail(kind, "refuse", times=2 if kind == "post" else 1)
    async with running_bot(ChatPlatform(chat.url), make_settings()):
        refused = chat.write("May I?")
        question = await until(lambda: take(redis_client))
        await finish(redis_client, echo(question))
        await until(lambda: nothing_is_open(redis_client, "chat"))
        assert await redis_client.hget(names.delivery_key(question.id), "state") == "refused"
        chat.faults.clear()
        async with answering(valkey.address):
            await ended(chat, chat.write("And now?"))
    assert not chat.replies(refused)
    assert len([line for line in chat.journal if line.kind == "post" and line.payload["reply_to"] == refused]) == 1


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


async def test_a_stage_that_only_a_newer_bot_knows_is_a_send_in_doubt(redis_client: redis.asyncio.Redis) -> None:
    """A bot of the release before does not fall over it: it looks into the chat, as after a send that broke."""
    await redis_client.hset(names.delivery_key("q"), mapping={"state": "folded", "sent_id": "p1"})

    state = await SendStates(redis_client, AccountLock(redis_client, "chat", "test"), "chat").load("q")

    assert state == SendState(SendStage.AMBIGUOUS, "p1")


async def _has_length(client: redis.asyncio.Redis, length: int) -> bool:
    return await client.xlen(names.answers_stream("chat")) == length


async def test_redis_killed_in_between_loses_and_repeats_nothing(
    chat: FakeChat, make_settings: MakeSettings, make_valkey: Callable[[], ValkeyServer]
) -> None:
    """While Redis is killed and started again under load, every question is answered once and in order."""
    server = make_valkey()
    async with running_bot(ChatPlatform(chat.url), make_settings(server.url), lease_s=5), answering(server.address):
        message_ids = [chat.write(f"question {number}", thread=f"t{number % 5}") for number in range(40)]
        for _ in range(2):
            await asyncio.sleep(0.15)
            server.kill()
            await asyncio.sleep(0.1)
            await asyncio.to_thread(server.start)
        posts = [await ended(chat, message_id) for message_id in message_ids]
    assert all(len(chat.replies(message_id)) == 1 for message_id in message_ids)
    for thread in range(5):
        ends = [post.ended_at or 0 for post in posts[thread::5]]
        assert ends == sorted(ends)


async def test_a_question_on_a_platform_that_wants_it_shows_thinking_at_once(
    chat: FakeChat, make_settings: MakeSettings
) -> None:
    """Where the platform wants a sign at once, it comes with the acceptance, before any worker begins."""
    async with running_bot(ChatPlatform(chat.url, thinks_at_once=True), make_settings()):
        message_id = chat.write("几天年假？")
        await asyncio.to_thread(chat.wait_for, lambda: chat.replies(message_id))
    assert chat.replies(message_id)[0].text == "正在思考……"


async def test_the_state_of_a_send_is_read_as_it_was_written(redis_client: redis.asyncio.Redis) -> None:
    """A send state comes back from Redis as it went in, and beside it the outcome of the contract stays."""
    lock = AccountLock(redis_client, "chat", "test")
    await lock.acquire()
    states = SendStates(redis_client, lock, "chat")
    assert await states.load("q-1") == SendState()
    written = SendState(SendStage.AMBIGUOUS, "r1", "r0", 12.5, "failed")
    await redis_client.hset(names.delivery_key("q-1"), "outcome", "answered")
    await states.write("q-1", written)
    assert await states.load("q-1") == written
    assert await redis_client.hget(names.delivery_key("q-1"), "outcome") == "answered"
    assert 0 < await redis_client.ttl(names.delivery_key("q-1")) <= names.DELIVERY_TTL_S


def test_a_question_keeps_what_the_platform_needs() -> None:
    """An address survives the wire."""
    question = make_question(address={"url": "x"})
    assert Question.from_wire(question.to_wire()) == question
