"""What WeCom's stream does not take any more is answered in a new message, and never twice unmarked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
import redis.asyncio

from bot.platforms.wecom import metrics
from bot.platforms.wecom.link import Ack, WeComLink
from contract import names
from contract.answer import FinalAnswer, Outcome
from tests.bot.answering import echo, finish, publish, take
from tests.bot.conftest import MakeSettings, until
from tests.bot.crashing import Crash, nothing_is_open
from tests.bot.platforms.wecom.conftest import GROUP, MakeFake, answered, asked, linked_bot, pushed, say
from tests.fakes.wecom import FakeWeCom


async def test_an_answer_of_eight_minutes_arrives_whole(
    make_fake: MakeFake, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Before its six minutes are over the stream is finished with what there is; the rest follows in one message."""
    fake = make_fake(0.006)
    async with linked_bot(fake, make_settings(bot={"delivery_interval_s": 0.1})):
        message_id = await say(fake)
        question = await until(lambda: take(redis_client))
        await publish(redis_client, question, "先装好 Docker，")
        first = await answered(fake, message_id)
        await until(lambda: _platform_time(fake, 480))
        final = FinalAnswer(question.to_wire(), Outcome.ANSWERED, "先装好 Docker，然后启动。", echo(question).citations)
        await publish(redis_client, question, "先装好 Docker，然后")
        await finish(redis_client, final)
        (rest,) = await pushed(fake)
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert first.content == "先装好 Docker，\n\n（其余内容见下一条消息。）"
    assert rest.content.startswith("然后启动。")
    assert rest.content.endswith("handbook/holidays.md")
    assert not fake.violations()


async def _platform_time(fake: FakeWeCom, at_s: float) -> bool:
    return fake.clock.now_s() > at_s


async def test_a_stream_that_expired_is_followed_by_the_whole_answer(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """When WeCom takes no refresh any more (846608), the whole answer comes in one new message, unmarked."""
    async with linked_bot(fake, make_settings()):
        question = await asked(fake, redis_client)
        await asyncio.to_thread(fake.do, "skip", seconds=400)
        await publish(redis_client, question, "先装")
        await finish(redis_client, echo(question))
        (answer,) = await pushed(fake)
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert answer.content.startswith("You asked")
    assert answer.feedback_id == question.id


async def test_a_req_id_that_is_not_valid_any_more_is_followed_by_a_new_message(
    make_fake: MakeFake, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Where a req_id dies with its connection (846605), the answer comes in one new message, unmarked."""
    fake = make_fake(req_ids_survive_reconnect=False)
    async with linked_bot(fake, make_settings()):
        question = await asked(fake, redis_client)
        await asyncio.to_thread(fake.do, "abort")
        await asyncio.to_thread(fake.wait_until_subscribed)
        await finish(redis_client, echo(question))
        (answer,) = await pushed(fake)
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert answer.content.startswith("You asked")


async def test_a_question_of_yesterday_is_answered_in_a_new_message(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A callback may be replied to for 24 hours (846605 behind it): a later answer is pushed, unmarked."""
    async with linked_bot(fake, make_settings()):
        question = await asked(fake, redis_client)
        await asyncio.to_thread(fake.do, "skip", seconds=25 * 3600)
        await finish(redis_client, echo(question))
        (answer,) = await pushed(fake)
    assert answer.content.startswith("You asked")
    assert [violation.rule for violation in fake.violations()] == ["req_id"]


async def test_an_end_that_the_stream_does_not_take_comes_in_a_new_message(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Whatever error WeCom has for a reply that was not shown: the answer is pushed, once and unmarked."""
    async with linked_bot(fake, make_settings()):
        question = await asked(fake, redis_client)
        fake.fail("aibot_respond_msg", "errcode", errcode=40058)
        await finish(redis_client, echo(question))
        (answer,) = await pushed(fake)
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert answer.content.startswith("You asked")
    assert len([shown for shown in fake.bot_messages(GROUP) if shown.via == "push"]) == 1


async def test_an_answer_that_wecom_refuses_for_good_is_given_up(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Refused in the stream and as a new message (nobody spoke there, the bot was removed): that is written down."""
    async with linked_bot(fake, make_settings()):
        question = await asked(fake, redis_client)
        fake.fail("aibot_respond_msg", "errcode", errcode=40058)
        fake.fail("aibot_send_msg", "errcode", errcode=86001)
        await finish(redis_client, echo(question))
        await until(lambda: nothing_is_open(redis_client, "wecom"))
        assert await redis_client.hget(names.delivery_key(question.id), "state") == "refused"


async def test_what_can_be_neither_confirmed_nor_repeated_is_marked(
    make_fake: MakeFake, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """The end's answer is lost with the connection and the req_id too: one message more, marked."""
    fake = make_fake(req_ids_survive_reconnect=False)
    marked_before = metrics.sent_again.labels("wecom")._value.get()
    async with linked_bot(fake, make_settings()):
        question = await asked(fake, redis_client)
        fake.fail("aibot_respond_msg", "abort")
        await finish(redis_client, echo(question))
        (marked,) = await pushed(fake)
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert marked.content.startswith("（可能重复：企业微信未确认上一次发送。）\n\nYou asked")
    assert len(fake.bot_messages(GROUP)) == 2
    assert metrics.sent_again.labels("wecom")._value.get() == marked_before + 1


@pytest.mark.parametrize("fault", ["abort", "drop", "mute"])
async def test_a_new_message_whose_sending_broke_is_sent_at_most_once_more(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, fault: str
) -> None:
    """A pushed answer whose acknowledgement was lost is pushed once more, marked, and not a third time."""
    async with linked_bot(fake, make_settings()):
        question = await asked(fake, redis_client)
        await asyncio.to_thread(fake.do, "skip", seconds=400)
        fake.fail("aibot_send_msg", fault)
        await finish(redis_client, echo(question))
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    contents = [shown.content for shown in fake.bot_messages(GROUP) if shown.via == "push"]
    unmarked = 0 if fault == "drop" else 1
    assert len(contents) == unmarked + 1
    assert contents[-1].startswith("（可能重复")


@pytest.mark.parametrize("fault", ["abort", "mute", "drop"])
async def test_an_answer_that_is_never_confirmed_is_given_up_after_one_mark(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, fault: str
) -> None:
    """Wherever the link breaks a second time, or stays silent: no second marked message, and that is written down."""
    async with linked_bot(fake, make_settings()):
        question = await asked(fake, redis_client)
        await asyncio.to_thread(fake.do, "skip", seconds=400)
        fake.fail("aibot_send_msg", fault, times=9)
        await finish(redis_client, echo(question))
        await until(lambda: nothing_is_open(redis_client, "wecom"))
        assert await redis_client.hget(names.delivery_key(question.id), "state") == "refused"
    sent = [line.payload["body"]["markdown"]["content"] for line in fake.journal if line.kind == "aibot_send_msg"]
    assert [content.startswith("（可能重复") for content in sent] == [False, True]
    pushed_in_vain = [shown.content for shown in fake.bot_messages(GROUP) if shown.via == "push"]
    assert pushed_in_vain == ([] if fault == "drop" else sent)


async def test_a_crash_at_a_marked_message_makes_no_second_one(
    fake: FakeWeCom,
    make_settings: MakeSettings,
    redis_client: redis.asyncio.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The link breaks at the new message, the process dies at its marked try: the next process sends no third."""
    settings = make_settings()
    async with linked_bot(fake, settings):
        question = await asked(fake, redis_client)
    await asyncio.to_thread(fake.do, "skip", seconds=400)
    fake.fail("aibot_send_msg", "abort")

    async def die_at_the_second_try() -> None:
        async with linked_bot(fake, settings) as bot:
            await finish(redis_client, echo(question))
            await asyncio.wait([bot], timeout=10)

    seen = 0
    request = WeComLink.request

    async def die(link: WeComLink, command: str, req_id: str, body: Mapping[str, Any]) -> Ack:
        nonlocal seen
        ack = await request(link, command, req_id, body)
        seen += command == "aibot_send_msg"
        if seen == 1:
            raise Crash(command)
        return ack

    monkeypatch.setattr(WeComLink, "request", die)
    with pytest.raises(BaseExceptionGroup):
        await die_at_the_second_try()
    monkeypatch.undo()
    async with linked_bot(fake, settings):
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    contents = [shown.content for shown in fake.bot_messages(GROUP) if shown.via == "push"]
    assert [content.startswith("（可能重复") for content in contents] == [False, True]


async def test_a_failure_that_is_answered_after_all_is_followed_by_the_answer(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A finished stream takes no other end: the answer to a question that had failed comes in a new message."""
    async with linked_bot(fake, make_settings()):
        message_id = await say(fake)
        question = await until(lambda: take(redis_client))
        await finish(redis_client, FinalAnswer(question.to_wire(), Outcome.FAILED))
        assert question.id in (await answered(fake, message_id)).content
        await finish(redis_client, echo(question))
        (answer,) = await pushed(fake)
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert answer.content.startswith("You asked")
