"""From a person's message in Lark to the one answer that they see, through the real bot and a real Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis.asyncio

from bot.platforms.lark import receiving
from contract import names
from tests.bot.answering import answering, echo, finish, publish, take
from tests.bot.conftest import MakeSettings, running_bot, until
from tests.bot.crashing import nothing_is_open
from tests.bot.platforms.lark.conftest import MakePlatform, answer_to, eventually, shows
from tests.fakes.lark import FakeLark
from tests.fakes.lark.webhook import VARIANTS
from tests.valkey import ValkeyServer

MakeValkey = Callable[[], ValkeyServer]


async def test_a_question_in_a_group_is_answered_in_one_card(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """A mention gets one card in reply, with the answer, its sources and two buttons; the event is acknowledged."""
    async with running_bot(make_platform(), make_settings()), answering(valkey.address, partials=("You", "You asked")):
        message_id = fake.say("How many days off?", mention_bot=True)
        answer = await answer_to(fake, message_id)
        await eventually(fake, lambda: not fake.unacked_events())
    assert answer.text.split("\n")[0] == "You asked: How many days off?"
    assert "[1] Holidays — handbook/holidays.md" in answer.text
    assert answer.text.endswith("👍\n👎")
    assert not fake.sends_above_rate()


async def test_the_asker_sees_it_think_and_grow(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Before any worker begins the card says that it thinks, in the question's language; then it grows to its end."""
    async with running_bot(make_platform(), make_settings()):
        message_id = fake.say("年假有几天？", mention_bot=True)
        await shows(fake, message_id, "正在思考……")
        question = await until(lambda: take(redis_client))
        for text in ("一年", "一年三十"):
            await publish(redis_client, question, text)
            await shows(fake, message_id, text)
        await finish(redis_client, echo(question))
        answer = await answer_to(fake, message_id)
    assert answer.text.startswith("You asked: 年假有几天？\n来源：")


async def test_a_direct_message_needs_no_mention(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """In a direct chat whatever is written is a question; in a group it needs a mention."""
    async with running_bot(make_platform(), make_settings()), answering(valkey.address):
        overheard = fake.say("How many days off?")
        message_id = fake.say("How many days off?", direct=True)
        await answer_to(fake, message_id)
        await eventually(fake, lambda: not fake.unacked_events())
    assert not fake.answers_to(overheard)


async def test_a_follow_up_needs_no_mention(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """Whoever answers the bot's card is answered, and so is whoever goes on in the topic."""
    topics = fake.add_chat(topic=True)
    async with running_bot(make_platform(), make_settings()), answering(valkey.address):
        for chat_id in (fake.add_chat(), topics):
            message_id = fake.say("How many days off?", mention_bot=True, chat_id=chat_id)
            answer = await answer_to(fake, message_id)
            follow_up = fake.say("And for Bob?", parent_id=answer.message_id)
            second = await answer_to(fake, follow_up)
            assert second.text.startswith("You asked: And for Bob?")
            assert second.thread_id == answer.thread_id
    assert answer.thread_id


async def test_rich_text_and_a_quote_are_understood(
    fake: FakeLark,
    make_platform: MakePlatform,
    make_settings: MakeSettings,
    valkey: ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A post is read as text, and a question about somebody's message comes with that message's words."""
    monkeypatch.setattr(receiving, "QUOTE_WITHIN_S", 0.2)
    async with running_bot(make_platform(), make_settings()), answering(valkey.address):
        post = fake.say("How many\ndays off?", mention_bot=True, message_type="post", title="Holidays")
        assert (await answer_to(fake, post)).text.startswith("You asked: Holidays\nHow many\ndays off?")
        quoted = fake.say("The gauge shows E42.")
        asked = fake.say("what is that?", mention_bot=True, parent_id=quoted)
        assert (await answer_to(fake, asked)).text.startswith("You asked: > The gauge shows E42.\n\nwhat is that?")
        fake.fail("message.get", "hang")
        asked = fake.say("and now?", mention_bot=True, parent_id=quoted)
        assert (await answer_to(fake, asked)).text.startswith("You asked: and now?")
        fake.release_hung()


async def test_a_recalled_question_stops_its_answer(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A question that is taken back is not answered: the card says that it was stopped, and no worker gets it."""
    async with running_bot(make_platform(), make_settings()):
        message_id = fake.say("How many days off?", mention_bot=True)
        await eventually(fake, lambda: fake.answers_to(message_id))
        fake.recall(message_id)
        await answer_to(fake, message_id, "Stopped.")
        await until(lambda: nothing_is_open(redis_client, "lark"))
        assert await take(redis_client) is None


async def test_a_judgement_is_taken_in(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """A press on a button of the card is acknowledged with a sign that it was taken."""
    async with running_bot(make_platform(), make_settings()), answering(valkey.address):
        message_id = fake.say("How many days off?", mention_bot=True)
        answer = await answer_to(fake, message_id)
        assert answer.card
        buttons = [column["elements"][0] for column in answer.card["body"]["elements"][-1]["columns"]]
        event_id = fake.press(answer.message_id, buttons[0]["behaviors"][0]["value"])
        await eventually(fake, lambda: fake.delivery(event_id).acknowledged_at_s)
    assert fake.delivery(event_id).data == {"toast": {"type": "success", "content": "👍"}}


@pytest.mark.parametrize(
    ("fault", "detail"),
    [
        ("duplicate", {"copies": 3}),
        ("duplicate_event", {}),
        ("fragments", {"copies": 2}),
        ("lost_fragment", {}),
        ("lost", {}),
        ("card_frame", {}),
        ("close", {}),
        ("abort", {}),
    ],
)
async def test_an_event_that_comes_often_is_one_question(
    fake: FakeLark,
    make_platform: MakePlatform,
    make_settings: MakeSettings,
    valkey: ValkeyServer,
    fault: str,
    detail: dict[str, Any],
) -> None:
    """Copies, doubled and lost fragments, and what was lost with the link on either way leave one answer."""
    async with running_bot(make_platform(), make_settings()):
        await eventually(fake, lambda: fake.link.connections)
        fake.fail("event", fault, **detail)
        fake.change_rules(ack_timeout_s=0.5)
        message_id = fake.say("How many days off? " + "x" * 2000, mention_bot=True)
        await eventually(fake, lambda: not fake.unacked_events())
        async with answering(valkey.address):
            await answer_to(fake, message_id)
    assert len(fake.answers_to(message_id)) == 1


async def test_without_redis_the_event_comes_again(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, make_valkey: MakeValkey
) -> None:
    """While Redis is away nothing is acknowledged; when it is back, Lark's next delivery becomes the question."""
    server = make_valkey()
    fake.change_rules(redelivery_after_s=(50, 50, 50, 50, 50, 50, 50, 50))
    async with running_bot(make_platform(ack_within_s=0.3), make_settings(server.url), lease_s=30):
        await eventually(fake, lambda: fake.link.connections)
        server.kill()
        message_id = fake.say("How many days off?", mention_bot=True)
        await eventually(fake, lambda: fake.deliveries.all[0].outcomes == ["500"])
        await asyncio.to_thread(server.start)
        async with answering(server.address):
            await answer_to(fake, message_id)
        await eventually(fake, lambda: not fake.unacked_events())
    assert len(fake.answers_to(message_id)) == 1


async def test_questions_that_come_out_of_order_are_both_answered(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """When Lark tells of the second question first, each gets its own answer, once."""
    async with running_bot(make_platform(), make_settings()), answering(valkey.address):
        await eventually(fake, lambda: fake.link.connections)
        fake.fail("event", "out_of_order")
        asked = [fake.say(text, direct=True) for text in ("first", "second")]
        answers = [await answer_to(fake, message_id) for message_id in asked]
        await eventually(fake, lambda: not fake.unacked_events())
    assert [answer.text.split("\n")[0] for answer in answers] == ["You asked: first", "You asked: second"]


async def test_the_asker_is_known_by_name(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A question carries its asker's name, which is asked for once; where the app may not know it, it has none."""
    ada, bob = fake.add_person("Ada"), fake.add_person("Bob")
    async with running_bot(make_platform(), make_settings()):
        for _ in range(2):
            fake.say("How many days off?", mention_bot=True, person=ada)
            assert (await until(lambda: take(redis_client))).asker_name == "Ada"
        fake.fail("users.batch", "code", code=99991672)
        for _ in range(2):
            fake.say("How many days off?", mention_bot=True, person=bob)
            assert (await until(lambda: take(redis_client))).asker_name == ""
    assert sum(line.kind == "users.batch" and line.direction == "in" for line in fake.journal) == 2


async def test_a_forged_webhook_makes_no_job(
    fake: FakeLark, make_platform: MakePlatform, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """What is not Lark's leaves no trace in the queue; a request that is played again is the same question."""
    platform = make_platform({"mode": "webhook", "webhook_port": 0})
    async with running_bot(platform, make_settings()):
        await eventually(fake, lambda: platform.webhook and platform.webhook.ready.is_set())
        assert platform.webhook
        fake.webhook_url = f"http://127.0.0.1:{platform.webhook.port}/lark/events"
        forged = [variant for variant in VARIANTS if variant not in ("valid", "repeated")]
        for variant in forged:
            assert 400 <= (await asyncio.to_thread(fake.post_webhook, variant)).status < 500
        assert await redis_client.llen(names.QUEUE_KEY) == 0
        for variant in ("valid", "repeated"):
            assert (await asyncio.to_thread(fake.post_webhook, variant)).status == 200
        assert await redis_client.llen(names.QUEUE_KEY) == 1
