"""A question asked in WeCom is answered once, in its own message, whatever WeCom does to the answer."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio

from contract.answer import FinalAnswer, Outcome
from tests.bot.answering import answering, echo, finish, publish, take
from tests.bot.conftest import MakeSettings, until
from tests.bot.crashing import STEPS, crash_at, is_growing_or_dead, nothing_is_open
from tests.bot.platforms.wecom.conftest import (
    GROUP,
    THINKING,
    USER,
    MakeFake,
    answered,
    asked,
    linked_bot,
    pushed,
    say,
    when,
)
from tests.fakes.wecom import FakeWeCom
from tests.valkey import ValkeyServer


async def test_a_question_in_a_group_is_answered_in_one_stream(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer, redis_client: redis.asyncio.Redis
) -> None:
    """A mention in a group becomes a question, and its answer with sources the one finished bubble in answer to it."""
    async with linked_bot(fake, make_settings()), answering(valkey.address):
        shown = await answered(fake, await say(fake))
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert shown.content.startswith("You asked: 怎么部署？\n\n")
    assert shown.content.endswith("[1] Holidays — handbook/holidays.md")
    assert shown.feedback_id == shown.stream_id
    assert len(fake.bot_messages(GROUP)) == 1
    assert not fake.violations()


async def test_a_question_in_a_single_chat_is_answered_there(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """A direct message is answered in the chat of the person who wrote it."""
    async with linked_bot(fake, make_settings()), answering(valkey.address):
        await answered(fake, await say(fake, "How many days off?", chatid=None, user=USER))
    (shown,) = fake.bot_messages(USER)
    assert shown.content.startswith("You asked: How many days off?")


async def test_thinking_comes_at_once_and_the_answer_grows_in_place(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Before any worker begins the chat shows that we think; then the same bubble shows each text and the end."""
    async with linked_bot(fake, make_settings()):
        message_id = await say(fake)
        await when(fake, lambda: fake.replies_to(message_id))
        assert fake.replies_to(message_id)[0].content == THINKING
        question = await until(lambda: take(redis_client))
        for text in ("先装", "先装好 Docker"):
            await publish(redis_client, question, text)
            await until(lambda text=text: _shows(fake, message_id, text))  # type: ignore[misc]
        await finish(redis_client, echo(question))
        shown = await answered(fake, message_id)
    assert shown.history == [THINKING, "先装", "先装好 Docker"]
    assert not fake.violations()


async def _shows(fake: FakeWeCom, message_id: str, text: str) -> bool:
    return fake.replies_to(message_id)[0].content == text


@pytest.mark.parametrize(
    ("step", "policy"),
    [*((step, "refuse") for step in STEPS), ("edited", "accept"), ("sent, and not written down", "accept")],
)
async def test_a_crash_at_any_step_leaves_one_message(
    make_fake: MakeFake, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, step: str, policy: str
) -> None:
    """Whatever step the process dies at, the next one ends the question in the same bubble, and nothing is doubled."""
    fake, settings = make_fake(finished_stream=policy), make_settings()

    async def ask_and_crash() -> None:
        async with linked_bot(fake, settings, crash_at(step)) as bot:
            await say(fake, msgid="m1")
            question = await until(lambda: take(redis_client))
            await publish(redis_client, question, "先装")
            # So that the end is an edit, unless the process dies of the growing text.
            await until(lambda: is_growing_or_dead(redis_client, question, bot))
            await finish(redis_client, echo(question))
            await asyncio.wait([bot], timeout=10)

    with pytest.raises(BaseExceptionGroup):
        await ask_and_crash()
    async with linked_bot(fake, settings):
        shown = await answered(fake, "m1")
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert shown.content.startswith("You asked")
    assert len(fake.bot_messages(GROUP)) == 1


@pytest.mark.parametrize("fault", ["mute", "abort", "close", "drop"])
async def test_an_end_whose_acknowledgement_is_lost_is_shown_once(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, fault: str
) -> None:
    """The end is shown although its answer never came, or it never arrived: one bubble, never a second message."""
    async with linked_bot(fake, make_settings()):
        question = await asked(fake, redis_client)
        fake.fail("aibot_respond_msg", fault)
        await finish(redis_client, echo(question))
        shown = await answered(fake, question.message_id)
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert shown.content.startswith("You asked")
    assert len(fake.bot_messages(GROUP)) == 1


@pytest.mark.parametrize("fault", ["mute", "abort", "drop", "slow"])
async def test_a_start_that_breaks_is_done_again_in_the_same_stream(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer, fault: str
) -> None:
    """A first send that broke, or was answered late, is repeated with the stream's id and gives no second bubble."""
    fake.fail("aibot_respond_msg", fault, delay_s=25)
    async with linked_bot(fake, make_settings()):
        message_id = await say(fake)
        await when(fake, lambda: fake.replies_to(message_id))
        async with answering(valkey.address):
            await answered(fake, message_id)
    assert len(fake.bot_messages(GROUP)) == 1


async def test_a_late_answer_to_an_earlier_frame_is_not_taken_for_the_ends(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Answers name only the req_id: after one that was missed, the end is confirmed by a second answer."""
    async with linked_bot(fake, make_settings()):
        question = await asked(fake, redis_client)
        # 25 s on the platform's clock are 1.25 s: the next frame has gone out by then, and gets no answer of its own.
        fake.fail("aibot_respond_msg", "slow", delay_s=25)
        await publish(redis_client, question, "先装")
        await when(fake, lambda: fake.replies_to(question.message_id)[0].content == "先装")
        fake.fail("aibot_respond_msg", "drop")
        await finish(redis_client, echo(question))
        shown = await answered(fake, question.message_id)
    assert shown.content.startswith("You asked")
    assert len(fake.bot_messages(GROUP)) == 1


async def test_a_long_answer_is_split_at_the_byte_limit(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer, redis_client: redis.asyncio.Redis
) -> None:
    """Beyond 20,480 bytes the answer goes on in new messages, in order, nothing missing and nothing doubled."""
    paragraphs = [f"第{number}段。" + "字" * 300 for number in range(60)]
    text = "\n\n".join(paragraphs)
    async with (
        linked_bot(fake, make_settings()),
        answering(valkey.address, lambda question: FinalAnswer(question.to_wire(), Outcome.ANSWERED, text)),
    ):
        first = await answered(fake, await say(fake))
        await until(lambda: nothing_is_open(redis_client, "wecom"))
        rest = await pushed(fake, 2)
    note = "（其余内容见下一条消息。）"
    assert note in first.content
    whole = "\n\n".join([first.content.removesuffix(note).strip(), *(shown.content for shown in rest)])
    assert whole == text
    assert not fake.violations()


async def test_a_crash_between_the_parts_of_a_long_answer_repeats_none(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """After the first part was shown and the process died, the next process goes on with the second."""
    text = "\n\n".join("字" * 3000 for _ in range(5))
    fake.fail("aibot_send_msg", "drop", times=100)
    settings = make_settings()
    async with linked_bot(fake, settings):
        message_id = await say(fake)
        question = await until(lambda: take(redis_client))
        await finish(redis_client, FinalAnswer(question.to_wire(), Outcome.ANSWERED, text))
        await answered(fake, message_id)
        await when(fake, lambda: [line for line in fake.journal if line.kind == "aibot_send_msg"])
    fake.faults.clear()
    async with linked_bot(fake, settings):
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert len(fake.replies_to(message_id)) == 1
    rest = [shown.content for shown in fake.bot_messages(GROUP) if shown.via == "push"]
    assert sum(content.count("字") for content in rest) + fake.replies_to(message_id)[0].content.count("字") == 15_000


async def test_many_questions_keep_the_rate_and_who_had_to_wait_is_told(
    either_count: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, few_a_minute: int
) -> None:
    """Whether refreshes count or not, the rate is kept, each question gets its end, and late ones say why."""
    fake = either_count
    async with linked_bot(fake, make_settings()):
        message_ids = [await say(fake, f"问题 {number}") for number in range(few_a_minute)]
        for _ in message_ids:
            question = await until(lambda: take(redis_client))
            for text in ("一", "一二"):
                await publish(redis_client, question, text)
            await finish(redis_client, echo(question))
        ends = [await answered(fake, message_id) for message_id in message_ids]
    assert not fake.sends_above_rate()
    assert all(end.content.startswith("You asked") for end in ends)
    told = ["每分钟 6 条消息" in end.content for end in ends]
    assert any(told)
    assert not all(told)
    assert len(fake.bot_messages(GROUP)) == few_a_minute


async def test_a_rate_that_wecom_reports_is_waited_for(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """What WeCom refuses for being too often is shown later, once."""
    fake.fail("aibot_respond_msg", "errcode", errcode=45009)
    async with linked_bot(fake, make_settings()):
        message_id = await say(fake)
        async with answering(valkey.address):
            await answered(fake, message_id)
    assert len(fake.bot_messages(GROUP)) == 1
