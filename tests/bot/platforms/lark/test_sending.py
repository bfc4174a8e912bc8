"""An answer in Lark is shown whole and once, whatever goes wrong with it, through the real bot and a real Redis."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio

from bot.platforms.lark import LarkPlatform
from bot.run import run_bot
from tests.bot.answering import echo, finish, publish, take
from tests.bot.conftest import MakeSettings, running_bot, until
from tests.bot.crashing import STEPS, Crash, crash_at, nothing_is_open
from tests.bot.platforms.lark.conftest import CLIENT_CONFIG, QUICK, MakePlatform, answer_to, eventually, lark_settings
from tests.fakes.lark import FakeLark, Rules

SEND_FAULTS = [
    ("card.create", "rate_limited", {}),
    ("card.create", "code", {"code": 99991672}),
    ("message.reply", "commit_then_drop", {}),
    ("message.reply", "commit_then_html", {}),
    ("message.reply", "commit_late", {"delay_s": 0.2}),
    ("message.reply", "commit_then_slow", {"delay_s": 1.5}),
    ("message.reply", "drop", {}),
    ("message.reply", "rate_limited", {}),
    ("message.reply", "code", {"code": 230020}),
    ("message.reply", "code", {"code": 230099}),
    ("message.reply", "code", {"code": 239999}),
    ("element.content", "code", {"code": 300309}),
    ("element.content", "code", {"code": 200850}),
    ("element.content", "code", {"code": 300317}),
    ("element.content", "html", {}),
    ("card.update", "commit_then_drop", {}),
    ("card.update", "commit_late", {"delay_s": 0.2}),
    ("card.update", "code", {"code": 300317}),
    ("card.update", "code", {"code": 200750}),
    ("token", "html", {}),
    ("*", "html", {"times": 4}),
]


@pytest.mark.parametrize(("kind", "fault", "detail"), SEND_FAULTS)
async def test_whatever_goes_wrong_in_sending_one_right_message_is_shown(
    fake: FakeLark,
    make_platform: MakePlatform,
    make_settings: MakeSettings,
    redis_client: redis.asyncio.Redis,
    kind: str,
    fault: str,
    detail: dict[str, Any],
) -> None:
    """Each fault of the platform ends in one message with the whole answer, and nothing is left open."""
    async with running_bot(make_platform(timeout_s=0.6), make_settings()):
        await eventually(fake, lambda: fake.link.connections)
        if kind == "token":
            fake.void_tokens()
        fake.fail(kind, fault, **detail)
        message_id = fake.say("How many days off?", mention_bot=True)
        question = await until(lambda: take(redis_client))
        await publish(redis_client, question, "You")
        await asyncio.sleep(0.1)
        await finish(redis_client, echo(question))
        await answer_to(fake, message_id, "[1] Holidays")
        await until(lambda: nothing_is_open(redis_client, "lark"))
    assert len(fake.answers_to(message_id)) == 1


async def test_an_answer_of_twelve_minutes_arrives_whole(
    make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """On a clock 400 times as fast, a card that grows for longer than its streaming mode lasts is one whole card."""
    second_s = 1 / 400
    with FakeLark(time_scale=second_s, rules=Rules(redelivery_after_s=(15,) * 4), client_config=CLIENT_CONFIG) as fake:
        platform = LarkPlatform(lark_settings(fake), times=QUICK, rotate_after_s=540 * second_s)
        async with running_bot(platform, make_settings()):
            message_id = fake.say("Tell me everything", mention_bot=True)
            question = await until(lambda: take(redis_client))
            began_s, words = time.monotonic(), 0
            while time.monotonic() - began_s < 720 * second_s:
                words += 1
                await publish(redis_client, question, "word " * words)
                await asyncio.sleep(0.02)
            await finish(redis_client, replace(echo(question), text="word " * words))
            answer = await answer_to(fake, message_id)
            await until(lambda: nothing_is_open(redis_client, "lark"))
    assert answer.text.split("\n")[0].split() == ["word"] * words
    (card,) = fake.cards.cards.values()
    grown = [operation.at_s for operation in card.history if operation.name == "content"]
    assert grown[-1] - grown[0] > 600 * second_s
    sequences = [operation.sequence for operation in card.history]
    assert sequences == sorted(set(sequences))


async def test_a_long_answer_is_split_into_cards(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """What is more than 30 KB goes on in the next card, in order and whole, and the last one has the sources."""
    paragraphs = [f"{number}. " + "字" * 900 for number in range(12)]
    async with running_bot(make_platform(), make_settings()):
        message_id = fake.say("Tell me everything", mention_bot=True)
        question = await until(lambda: take(redis_client))
        await finish(redis_client, replace(echo(question), text="\n\n".join(paragraphs)))
        await until(lambda: nothing_is_open(redis_client, "lark"))
        texts = [each.text for each in fake.answers_to(message_id)]
    assert len(texts) == 2
    assert [text for text in "\n".join(texts).split("\n") if "字" in text] == paragraphs
    assert ["[1] Holidays" in text for text in texts] == [False, True]


async def test_an_answer_whose_question_or_chat_is_gone_is_let_go(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Where Lark refuses for good, after a recall that nobody told of or without the bot inside, nothing stays open."""
    fake.fail("message.reply", "rate_limited", times=99, reset_s=1)
    async with running_bot(make_platform(), make_settings()):
        asked = [fake.say("How many days off?", mention_bot=True) for _ in range(2)]
        questions = [await until(lambda: take(redis_client)) for _ in asked]
        fake.chats.messages[asked[0]].recalled = True
        fake.chats.chats[fake.chats.messages[asked[1]].chat_id].bot_inside = False
        fake.faults.clear()
        for question in questions:
            await finish(redis_client, echo(question))
        await until(lambda: nothing_is_open(redis_client, "lark"))
    assert not fake.answers_to(asked[0]) + fake.answers_to(asked[1])


async def test_a_text_that_was_edited_too_often_is_sent_anew(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Where cards are refused and the text takes no more edits, its place is taken by one that has the answer."""
    async with running_bot(make_platform(), make_settings()):
        fake.fail("message.reply", "code", code=230099)
        fake.fail("message.update", "code", code=230072)
        message_id = fake.say("How many days off?", mention_bot=True)
        question = await until(lambda: take(redis_client))
        await eventually(fake, lambda: fake.answers_to(message_id))
        await finish(redis_client, echo(question))
        await until(lambda: nothing_is_open(redis_client, "lark"))
    (answer,) = fake.answers_to(message_id)
    assert answer.text.startswith("You asked: How many days off?")


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_at_any_step_leaves_one_card(
    fake: FakeLark,
    make_platform: MakePlatform,
    make_settings: MakeSettings,
    redis_client: redis.asyncio.Redis,
    step: str,
) -> None:
    """Whatever step of the delivery the process dies at, the next one ends the question in the same card."""
    settings = make_settings()
    message_id = fake.say("How many days off?", mention_bot=True)
    bot = asyncio.create_task(run_bot(make_platform(), settings, asyncio.Event(), at_step=crash_at(step), lease_s=1.0))
    question = await until(lambda: take(redis_client))
    await finish(redis_client, echo(question))
    with pytest.raises(BaseExceptionGroup) as caught:
        await asyncio.wait_for(bot, 10)
    assert caught.group_contains(Crash)
    async with running_bot(make_platform(), settings):
        await answer_to(fake, message_id)
        await until(lambda: nothing_is_open(redis_client, "lark"))
    assert len(fake.answers_to(message_id)) == 1
