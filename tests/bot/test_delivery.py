"""Each accepted question is answered in one message, whatever dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import redis.asyncio

from bot import answer_stream
from bot.run import run_bot
from contract import names
from contract.question import Question
from tests.bot.answering import answering, echo, finish, publish, take
from tests.bot.conftest import MakeSettings, ended, make_question, running_bot, until
from tests.bot.crashing import STEPS, Crash, crash_at, nothing_is_open
from tests.fakes.chat import FakeChat
from tests.fakes.chat_platform import ChatPlatform, Resolve
from tests.valkey import ValkeyServer


def _has_crashed(error: BaseException | None) -> bool:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return isinstance(error, Crash)


async def thinking(chat: FakeChat, client: redis.asyncio.Redis) -> Question:
    """Somebody asks; the question in a worker's hand, as soon as the chat shows that we think."""
    message_id = chat.write("How many days off?")
    question: Question = await until(lambda: take(client))
    await publish(client, question, "")
    await asyncio.to_thread(chat.wait_for, lambda: chat.replies(message_id))
    return question


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
        question = await thinking(chat, redis_client)
        chat.fail("edit", "drop", times=2)
        await finish(redis_client, echo(question))
        await ended(chat, question.message_id)
    assert len(chat.replies(question.message_id)) == 1


async def test_an_end_that_cannot_be_edited_in_is_sent_anew(
    chat: FakeChat, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Where the platform lets the message be edited no more, the end comes in a new one, even if that send breaks."""
    async with running_bot(ChatPlatform(chat.url), make_settings()):
        question = await thinking(chat, redis_client)
        chat.fail("edit", "too_late", times=100)
        chat.fail("post", "drop")
        await finish(redis_client, echo(question))
        await ended(chat, question.message_id)
    assert [post.is_end for post in chat.replies(question.message_id)] == [False, True]


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


def test_a_question_keeps_what_the_platform_needs() -> None:
    """An address survives the wire."""
    question = make_question(address={"url": "x"})
    assert Question.from_wire(question.to_wire()) == question
