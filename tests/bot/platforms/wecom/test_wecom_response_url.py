"""Callback mode: an answer that comes too late for the stream goes to the message's response URL."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio

from contract.answer import FinalAnswer, Outcome
from tests.bot.answering import echo, finish, publish, take
from tests.bot.conftest import MakeSettings, until
from tests.bot.crashing import nothing_is_open
from tests.bot.platforms.wecom.conftest import GROUP, MakeFake, answered, called_bot, say
from tests.fakes.wecom import FakeWeCom


async def test_an_answer_of_eight_minutes_arrives_whole(
    make_fake: MakeFake, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """The stream is finished before WeCom stops asking; the rest goes to the response URL, once."""
    fake = make_fake(0.006)
    async with called_bot(fake, make_settings()):
        message_id = await say(fake)
        question = await until(lambda: take(redis_client))
        await publish(redis_client, question, "先装好 Docker，")
        first = await answered(fake, message_id)
        await until(lambda: asyncio.sleep(0, fake.clock.now_s() > 480))
        final = FinalAnswer(question.to_wire(), Outcome.ANSWERED, "先装好 Docker，然后启动。", echo(question).citations)
        await finish(redis_client, final)
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert first.content == "先装好 Docker，\n\n（其余内容见下一条消息。）"
    rest = fake.bot_messages(GROUP)[1:]
    assert [(shown.via, shown.content[:6]) for shown in rest] == [("response_url", "然后启动。\n")]
    assert not fake.violations()


async def test_polls_that_stop_early_leave_the_whole_answer_to_the_response_url(
    make_fake: MakeFake, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """When WeCom asks no more, the end waits for its six minutes and then comes whole by the response URL."""
    fake = make_fake(0.002)
    fake.fail("poll", "stop")
    async with called_bot(fake, make_settings()):
        await say(fake)
        await finish(redis_client, echo(await until(lambda: take(redis_client))))
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    _thinking, answer = fake.bot_messages(GROUP)
    assert answer.via == "response_url"
    assert answer.content.startswith("You asked")
    assert fake.clock.now_s() >= 360


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        ("commit_then_abort", {}),
        ("abort", {}),
        ("broken_json", {}),
        ("status", {"status": 502}),
        ("errcode", {"errcode": 45009}),
    ],
)
async def test_a_response_url_whose_use_broke_shows_one_message(
    make_fake: MakeFake,
    make_settings: MakeSettings,
    redis_client: redis.asyncio.Redis,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    detail: dict[str, int],
) -> None:
    """It works once, so it is simply used again: the message is there once, whichever try it was."""
    monkeypatch.setattr("bot.platforms.wecom.callback.BUSY_AGAIN_S", 0.1)
    fake = make_fake(0.002)
    fake.fail("poll", "stop")
    fake.fail("response_url", fault, **detail)
    async with called_bot(fake, make_settings()):
        await say(fake)
        await finish(redis_client, echo(await until(lambda: take(redis_client))))
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert [shown.via for shown in fake.bot_messages(GROUP)] == ["callback", "response_url"]


async def test_a_response_url_of_another_server_is_not_called(
    make_fake: MakeFake, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Late answers are posted to WeCom's own server and nowhere else."""
    fake = make_fake(0.002)
    fake.fail("poll", "stop")
    async with called_bot(fake, make_settings(), api_url="https://qyapi.weixin.qq.com"):
        await say(fake)
        await finish(redis_client, echo(await until(lambda: take(redis_client))))
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert not [line for line in fake.journal if line.kind == "response_url"]


async def test_a_long_answer_goes_on_behind_the_response_url(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Beyond 20,480 bytes the second part takes the response URL; what does not fit there is said to be cut."""
    text = "\n\n".join("字" * 300 for _ in range(60))
    async with called_bot(fake, make_settings()):
        await say(fake)
        question = await until(lambda: take(redis_client))
        await finish(redis_client, FinalAnswer(question.to_wire(), Outcome.ANSWERED, text))
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    first, second = fake.bot_messages(GROUP)
    assert first.content.endswith("（其余内容见下一条消息。）")
    assert second.content.endswith("（企业微信无法显示更多内容。）")
    assert not fake.violations()
