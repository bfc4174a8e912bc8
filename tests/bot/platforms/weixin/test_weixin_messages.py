"""Direct messages of WeChat: taken once, answered once, whatever WeChat does."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis.asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.chat_event import ChatEvent
from bot.chat_message import ChatMessage
from bot.inbox import InboxError
from bot.lock import LockHeldError
from bot.platforms.weixin.events import EventError, is_for_us, to_message
from bot.platforms.weixin.records import Records
from bot.platforms.weixin.sentences import SENTENCES, TEXT_ONLY
from contract import names
from contract.answer import FinalAnswer, Outcome
from contract.question import Question
from tests.bot.answering import answering, echo, finish, publish, take
from tests.bot.conftest import MakeSettings, running_bot, until
from tests.bot.crashing import STEPS, Crash, crash_at, nothing_is_open
from tests.bot.platforms.weixin.conftest import (
    USER,
    calls,
    linked_bot,
    shown,
    weixin,
    when,
    write,
)
from tests.fakes.wecom import FakeWeCom
from tests.valkey import ValkeyServer

MAYBE = SENTENCES["zh"]["maybe"]
# As `@tencent-weixin/openclaw-weixin` types it.
TEXT: dict[str, Any] = {
    "seq": 1,
    "message_id": 2**64 - 1,
    "from_user_id": USER,
    "to_user_id": "b@im.bot",
    "create_time_ms": 1_700_000_000_250,
    "message_type": 1,
    "message_state": 2,
    "item_list": [{"type": 1, "text_item": {"text": "怎么部署？"}}],
    "context_token": "ctx",
}


# --- questions


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


def test_ids_keep_all_their_digits() -> None:
    """A uint64 is no double: the id, and with it the question's, is exact."""
    message = to_message(TEXT, "b@im.bot")
    assert message is not None
    assert (message.message_id, message.at_s) == ("18446744073709551615", 1_700_000_000.25)
    assert (message.channel, message.thread, message.sender, message.is_direct) == (USER, USER, USER, True)
    assert message.address == {"context_token": "ctx"}


@pytest.mark.parametrize(
    ("changed", "for_us"),
    [({}, True), ({"group_id": "g@chatroom"}, False), ({"message_type": 2}, False), ({"message_type": None}, False)],
    ids=["direct", "group", "our own", "no type"],
)
def test_only_what_a_person_wrote_to_the_bot_alone_is_for_us(changed: dict[str, Any], for_us: bool) -> None:
    """Groups and the bot's own messages are passed over."""
    assert is_for_us(TEXT | changed) is for_us


def test_a_quote_stands_below_the_question() -> None:
    """What a message quotes is read with it, and is the question where nothing else is written."""
    quote = {"title": "t", "message_item": {"type": 1, "text_item": {"text": "一\n二"}}}
    for text, expected in (("这是什么？", "这是什么？\n\n> 一\n> 二"), ("", "一\n二")):
        item = {"type": 1, "text_item": {"text": text}, "ref_msg": quote}
        message = to_message(TEXT | {"item_list": [item]}, "b")
        assert message is not None
        assert message.text == expected


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda one: (
            st.lists(one, max_size=3)
            | st.dictionaries(
                st.sampled_from([*TEXT, "type", "text_item", "text", "ref_msg", "message_item", "title"]),
                one,
                max_size=5,
            )
        ),
        max_leaves=12,
    ).filter(lambda body: isinstance(body, dict))
)
def test_any_body_is_a_message_or_refused(body: dict[str, Any]) -> None:
    """Whatever comes, nothing but EventError leaves the translation."""
    is_for_us(body)
    for one in (body, TEXT | body):
        try:
            to_message(one, "b")
        except EventError:
            continue


@pytest.mark.parametrize("time_ms", [10**400, float("nan"), float("inf"), -1, "now"])
def test_a_time_that_is_none_is_refused(time_ms: object) -> None:
    """Neither a date that no clock shows nor a word is a time."""
    with pytest.raises(EventError):
        to_message(TEXT | {"create_time_ms": time_ms}, "b")


# --- the cursor


async def test_the_cursor_is_stored_after_the_question(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """What Redis did not take is fetched again with the old cursor; the new one is given only then."""
    got: list[str] = []
    failures = iter([True, True, False])

    async def receive(event: ChatEvent) -> None:
        assert isinstance(event, ChatMessage)
        if next(failures):
            assert len(fake.ilink.unacknowledged()) == 1
            raise InboxError("Redis took nothing in")
        got.append(event.text)

    settings = make_settings()
    platform = weixin(fake, settings)
    listening = asyncio.create_task(platform.listen(receive))
    await write(fake)
    await when(fake, lambda: not fake.ilink.unacknowledged())
    await platform.close()
    await listening
    assert got == ["怎么部署？"]


async def test_a_crash_before_the_cursor_is_stored_makes_no_second_question(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies between the question and its cursor gets the message again, and it is one question."""
    settings = make_settings()

    async def die(_records: Records, _bot_id: str, _cursor: str) -> None:
        raise Crash

    monkeypatch.setattr(Records, "keep_cursor", die)

    async def ask_and_crash() -> None:
        async with linked_bot(fake, settings) as bot:
            await write(fake)
            await asyncio.wait([bot], timeout=10)

    with pytest.raises(BaseExceptionGroup):
        await ask_and_crash()
    monkeypatch.undo()
    assert await redis_client.llen(names.QUEUE_KEY) == 1
    assert len(fake.ilink.unacknowledged()) == 1
    async with linked_bot(fake, settings):
        await when(fake, lambda: not fake.ilink.unacknowledged())
        assert await redis_client.llen(names.QUEUE_KEY) == 1


async def test_what_was_written_while_the_bot_was_away_is_answered(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """WeChat keeps messages until the cursor comes back: nothing of a gap is lost, and nothing old is asked again."""
    settings = make_settings()
    async with answering(valkey.address):
        async with linked_bot(fake, settings):
            await write(fake, "one")
            await shown(fake, 1)
            await when(fake, lambda: not fake.ilink.unacknowledged())
        await write(fake, "two")
        async with linked_bot(fake, settings):
            await shown(fake, 2)
    assert [message.content.splitlines()[0] for message in fake.bot_messages(USER)] == [
        "You asked: one",
        "You asked: two",
    ]


@pytest.mark.parametrize(
    ("fault", "detail"),
    [("status", {"status": 502}), ("abort", {}), ("broken_json", {}), ("ret", {"ret": -1}), ("commit_then_abort", {})],
    ids=["status", "abort", "broken json", "ret", "commit then abort"],
)
async def test_polls_that_fail_are_done_again(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer, fault: str, detail: dict[str, int]
) -> None:
    """Whatever becomes of a poll, the message comes with the next one, and is answered once."""
    fake.fail("getupdates", fault, times=2, **detail)
    async with linked_bot(fake, make_settings()), answering(valkey.address):
        await write(fake)
        await shown(fake)
        await when(fake, lambda: not fake.ilink.unacknowledged())
    assert len(fake.bot_messages(USER)) == 1


async def test_a_message_that_cannot_be_taken_in_holds_up_no_other(
    fake: FakeWeCom, make_settings: MakeSettings
) -> None:
    """A fault of ours with one message is logged, and the next messages are taken."""
    got: list[str] = []

    async def receive(event: ChatEvent) -> None:
        assert isinstance(event, ChatMessage)
        if event.text == "poison":
            raise RuntimeError("a fault of ours")
        got.append(event.text)

    platform = weixin(fake, make_settings())
    listening = asyncio.create_task(platform.listen(receive))
    await write(fake, "poison")
    await write(fake, "good")
    await when(fake, lambda: not fake.ilink.unacknowledged())
    await platform.close()
    await listening
    assert got == ["good"]


async def test_a_second_bot_is_kept_out_by_the_lock(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """Two bots with one login would fetch each other's messages: the second one does not even poll."""
    settings = make_settings()
    async with linked_bot(fake, settings):
        await when(fake, lambda: calls(fake, "getupdates"))
        with pytest.raises(LockHeldError):
            async with running_bot(weixin(fake, settings), settings) as second:
                await asyncio.wait([second])


# --- the answer


async def ask_and_crash(
    fake: FakeWeCom, make_settings: MakeSettings, client: redis.asyncio.Redis, at_step: Callable[[str], None]
) -> None:
    """Ask, answer, and die on the way."""

    async def serve() -> None:
        async with linked_bot(fake, make_settings(), at_step) as bot:
            await write(fake)
            question = await until(lambda: take(client))
            await publish(client, question, "先装")
            # So that the end is an edit, unless the process dies of the growing text.
            await until(lambda: _is_growing_or_dead(client, question, bot))
            await finish(client, echo(question))
            await asyncio.wait([bot], timeout=10)

    with pytest.raises(BaseExceptionGroup):
        await serve()


async def _is_growing_or_dead(client: redis.asyncio.Redis, question: Question, bot: asyncio.Task[None]) -> bool:
    return bot.done() or await client.hget(names.delivery_key(question.id), "state") == "sent"


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
