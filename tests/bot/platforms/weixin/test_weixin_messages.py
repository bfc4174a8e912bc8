"""Direct messages of WeChat: each is answered once, whatever WeChat does to the answer."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from typing import Any

import pytest
import redis.asyncio

from bot.platforms.weixin.records import Records
from bot.platforms.weixin.sentences import SENTENCES, TEXT_ONLY
from contract import names
from contract.answer import FinalAnswer, Outcome
from tests.bot.answering import answering, echo, finish, publish, take
from tests.bot.conftest import MakeSettings, until
from tests.bot.crashing import STEPS, Crash, crash_at, nothing_is_open
from tests.bot.platforms.weixin.conftest import USER, ask_and_crash, calls, linked_bot, shown, when, write
from tests.fakes.wecom import FakeWeCom
from tests.valkey import ValkeyServer

MAYBE = SENTENCES["zh"]["maybe"]


async def test_a_message_is_answered_in_its_chat(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer, redis_client: redis.asyncio.Redis
) -> None:
    """A direct message becomes a question, its answer with sources one message that carries the context's token."""
    async with linked_bot(fake, make_settings()), answering(valkey.address):
        told = await write(fake)
        (answer,) = await shown(fake)
        await until(lambda: nothing_is_open(redis_client, "weixin"))
    assert answer.content.startswith("You asked: 怎么部署？\n\n")
    assert answer.content.endswith("[1] Holidays — handbook/holidays.md")
    (sent,) = calls(fake, "sendmessage")
    assert sent["msg"]["context_token"] == told["context_token"]
    assert sent["msg"]["client_id"].startswith("q-")
    assert not fake.violations()


async def test_a_question_shows_the_typing_sign_and_no_message_until_its_end(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Before any worker begins, and while the answer grows, WeChat shows that we type; then there is one message."""
    async with linked_bot(fake, make_settings()):
        await write(fake)
        await when(fake, lambda: len(calls(fake, "sendtyping")) >= 2)
        question = await until(lambda: take(redis_client))
        before = len(calls(fake, "sendtyping"))
        for number in range(10):
            await publish(redis_client, question, f"先装 {number}")
            await asyncio.sleep(0.05)
        await when(fake, lambda: len(calls(fake, "sendtyping")) > before)
        assert not fake.bot_messages(USER)
        await finish(redis_client, echo(question))
        await shown(fake)
    assert len(calls(fake, "getconfig")) == 1
    assert len(fake.bot_messages(USER)) == 1


async def test_a_question_that_waits_is_told_so_once(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A place in the queue is a message of its own, since WeChat changes none; it is said once."""
    async with linked_bot(fake, make_settings(queue={"queued_notice_after_s": 0.1})):
        await write(fake)
        (notice,) = await shown(fake)
        await finish(redis_client, echo(await until(lambda: take(redis_client))))
        _notice, answer = await shown(fake, 2)
        await until(lambda: nothing_is_open(redis_client, "weixin"))
    assert "排队" in notice.content or "下一个" in notice.content
    assert answer.content.startswith("You asked")
    assert len(fake.bot_messages(USER)) == 2


async def test_what_has_no_words_is_answered_with_a_sentence(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """An image is no question; its sender is told what to write instead. A voice message is its words."""
    async with linked_bot(fake, make_settings()):
        await write(fake, "", msgtype="image")
        (told,) = await shown(fake)
        assert not await redis_client.llen(names.QUEUE_KEY)
        await write(fake, "说了什么？", msgtype="voice")
        question = await until(lambda: take(redis_client))
    assert told.content == TEXT_ONLY
    assert question.text == "说了什么？"


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_at_any_step_leaves_one_message(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, step: str
) -> None:
    """Whatever step of the delivery the process dies at, the next one shows the answer once, unmarked."""
    await ask_and_crash(fake, make_settings, redis_client, crash_at(step))
    async with linked_bot(fake, make_settings()):
        await until(lambda: nothing_is_open(redis_client, "weixin"))
    (answer,) = fake.bot_messages(USER)
    assert answer.content.startswith("You asked")


@pytest.mark.parametrize("dedups", [True, False])
@pytest.mark.parametrize("write_number", [1, 2, 3])
async def test_a_crash_around_the_send_leaves_one_message_or_one_more_marked(
    fake: FakeWeCom,
    make_settings: MakeSettings,
    redis_client: redis.asyncio.Redis,
    monkeypatch: pytest.MonkeyPatch,
    dedups: bool,
    write_number: int,
) -> None:
    """Dead before the plan, before the send or right behind it: where WeChat knows the client id again, one message;
    where it does not, one more, marked.
    """
    fake.points.ilink_dedups = dedups
    write_record, count = Records.write, 0

    async def die_instead(records: Records, question_id: str, record: Any) -> Any:
        nonlocal count
        count += 1
        if count == write_number:
            raise Crash
        return await write_record(records, question_id, record)

    monkeypatch.setattr(Records, "write", die_instead)
    await ask_and_crash(fake, make_settings, redis_client, lambda _step: None)
    monkeypatch.undo()
    before = len(fake.bot_messages(USER))
    async with linked_bot(fake, make_settings()):
        await until(lambda: nothing_is_open(redis_client, "weixin"))
    contents = [message.content for message in fake.bot_messages(USER)]
    assert before == (1 if write_number == 3 else 0)
    assert [content.startswith(MAYBE) for content in contents] == (
        [False, True] if write_number == 3 and not dedups else [False]
    )


@pytest.mark.parametrize("dedups", [True, False])
@pytest.mark.parametrize(
    ("fault", "detail", "arrived"),
    [
        ("abort", {}, False),
        ("commit_then_abort", {}, True),
        ("broken_json", {}, False),
        ("status", {"status": 502}, False),
    ],
    ids=["abort", "commit then abort", "broken json", "status"],
)
async def test_a_message_whose_end_nobody_saw_is_sent_once_more_marked(
    fake: FakeWeCom,
    make_settings: MakeSettings,
    redis_client: redis.asyncio.Redis,
    fault: str,
    detail: dict[str, int],
    arrived: bool,
    dedups: bool,
) -> None:
    """It goes out again with the same client id and the mark: seen twice only where WeChat does not know the id."""
    fake.points.ilink_dedups = dedups
    fake.fail("sendmessage", fault, **detail)
    async with linked_bot(fake, make_settings()):
        await write(fake)
        await finish(redis_client, echo(await until(lambda: take(redis_client))))
        await until(lambda: nothing_is_open(redis_client, "weixin"))
    contents = [message.content for message in fake.bot_messages(USER)]
    marks = [content.startswith(MAYBE) for content in contents]
    assert marks == ([False] if arrived and dedups else [False, True] if arrived else [True])
    first, second = calls(fake, "sendmessage")
    assert first["msg"]["client_id"] == second["msg"]["client_id"]


async def test_an_answer_that_is_never_confirmed_is_given_up_after_one_mark(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Two tries that broke are enough: never a second marked message, and that is written down."""
    fake.fail("sendmessage", "commit_then_abort", times=9)
    async with linked_bot(fake, make_settings()):
        await write(fake)
        question = await until(lambda: take(redis_client))
        await finish(redis_client, echo(question))
        await until(lambda: nothing_is_open(redis_client, "weixin"))
        assert await redis_client.hget(names.delivery_key(question.id), "state") == "refused"
    assert [message.content.startswith(MAYBE) for message in fake.bot_messages(USER)] == [False, True]


async def test_a_server_that_is_not_there_is_waited_for(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What certainly did not get there is sent when it can be, unmarked; so is what was refused as too much."""
    fake.fail("sendmessage", "status", status=429)
    fake.fail("sendmessage", "ret", ret=-1)
    async with linked_bot(fake, make_settings()):
        await write(fake)
        await finish(redis_client, echo(await until(lambda: take(redis_client))))
        await until(lambda: nothing_is_open(redis_client, "weixin"))
    (answer,) = fake.bot_messages(USER)
    assert answer.content.startswith("You asked")


async def test_a_long_answer_comes_in_parts(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Beyond 4,000 bytes the answer goes on in new messages, in order, nothing missing."""
    text = "\n\n".join(f"第{number}段。" + "字" * 300 for number in range(10))
    note = SENTENCES["zh"]["goes_on"]
    async with linked_bot(fake, make_settings()):
        await write(fake)
        question = await until(lambda: take(redis_client))
        await finish(redis_client, FinalAnswer(question.to_wire(), Outcome.ANSWERED, text))
        await until(lambda: nothing_is_open(redis_client, "weixin"))
    contents = [message.content for message in fake.bot_messages(USER)]
    assert len(contents) == 4
    assert all(len(content.encode()) <= 4_000 for content in contents)
    assert "\n\n".join(content.removesuffix(note).strip() for content in contents) == text
    assert len({call["msg"]["client_id"] for call in calls(fake, "sendmessage")}) == 4


async def test_the_tenth_message_says_that_the_person_has_to_write_and_the_rest_follows_then(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """WeChat takes ten messages in a row: the tenth says so, the others wait, and come when the person writes."""
    text = "\n\n".join("字" * 1_100 for _ in range(12))
    async with linked_bot(fake, make_settings()):
        await write(fake)
        question = await until(lambda: take(redis_client))
        await finish(redis_client, FinalAnswer(question.to_wire(), Outcome.ANSWERED, text))
        ten = await shown(fake, 10)
        await when(fake, lambda: len(calls(fake, "sendmessage")) == 11)
        await write(fake, "go on")
        await shown(fake, 12)
    told = [SENTENCES["zh"]["write_first"] in message.content for message in ten]
    assert told == [False] * 9 + [True]
    assert sum(message.content.count("字") for message in fake.bot_messages(USER)) == 13_200
    assert {violation.rule for violation in fake.violations()} == {"ilink_unanswered"}


async def test_an_answer_that_comes_a_day_late_is_refused(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A context lives for a day: then there is nobody to wait for, and that is written down."""
    async with linked_bot(fake, make_settings()):
        await write(fake)
        question = await until(lambda: take(redis_client))
        await asyncio.to_thread(fake.do, "skip", seconds=25 * 3600)
        late = dataclasses.replace(question, asked_at_s=time.time() - 25 * 3600)
        await finish(redis_client, echo(late))
        await until(lambda: nothing_is_open(redis_client, "weixin"))
        assert await redis_client.hget(names.delivery_key(question.id), "state") == "refused"
    assert not fake.bot_messages(USER)
