"""What Lark is told of its events: acknowledged when they are safe, and not before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.chat_event import ChatEvent, FeedbackGiven, MessageDeleted
from bot.chat_message import ChatMessage
from tests.bot.platforms.lark.conftest import Heard, MakePlatform, acknowledged, eventually, listening, outcomes
from tests.fakes.lark import FakeLark


async def test_an_event_is_acknowledged_after_it_was_received(fake: FakeLark, make_platform: MakePlatform) -> None:
    """Code 200 comes only when the receiver has returned."""
    safe = asyncio.Event()

    async def receive(_event: ChatEvent) -> None:
        await safe.wait()

    async with listening(fake, make_platform(), receive):
        fake.say("why?", mention_bot=True)
        await asyncio.sleep(0.2)
        assert fake.unacked_events()
        safe.set()
        await acknowledged(fake)
    assert outcomes(fake) == [["200"]]


async def test_an_event_that_is_not_safe_comes_again(fake: FakeLark, make_platform: MakePlatform) -> None:
    """When the receiver raises, code 500 makes Lark deliver it again, and then it is taken."""
    heard = Heard(failures=2)
    async with listening(fake, make_platform(), heard):
        fake.say("why?", mention_bot=True)
        await acknowledged(fake)
    assert outcomes(fake) == [["500", "500", "200"]]
    assert heard.texts == ["why?"]


async def test_a_slow_receiver_is_not_waited_for_in_vain(fake: FakeLark, make_platform: MakePlatform) -> None:
    """Before Lark's three seconds are over the event is given back, and pings go on meanwhile."""
    hangs = [True]

    async def receive(_event: ChatEvent) -> None:
        if hangs:
            hangs.clear()
            await asyncio.sleep(60)

    async with listening(fake, make_platform(ack_within_s=0.8), receive):
        pings = sum(line.kind == "ping" for line in fake.journal)
        fake.say("why?", mention_bot=True)
        await eventually(fake, lambda: outcomes(fake)[0])
        assert sum(line.kind == "ping" for line in fake.journal) > pings
        await acknowledged(fake)
    assert outcomes(fake) == [["500", "200"]]


async def test_a_slow_event_holds_up_no_other(fake: FakeLark, make_platform: MakePlatform) -> None:
    """While one event waits, others are taken in and acknowledged."""
    safe = asyncio.Event()

    async def receive(event: ChatEvent) -> None:
        if isinstance(event, ChatMessage) and "slow" in event.text:
            await safe.wait()

    async with listening(fake, make_platform(), receive):
        fake.say("slow", mention_bot=True)
        fake.say("fast", mention_bot=True)
        await eventually(fake, lambda: len(fake.unacked_events()) == 1)
        safe.set()
        await acknowledged(fake)


async def test_every_type_of_event_is_acknowledged(fake: FakeLark, make_platform: MakePlatform) -> None:
    """Whatever the app is subscribed to is acknowledged at once; what it means is handed over."""
    heard = Heard()
    async with listening(fake, make_platform(), heard):
        message_id = fake.say("why?", mention_bot=True)
        chat_id = fake.chats.messages[message_id].chat_id
        fake.recall(message_id)
        event_id = fake.press(message_id, {"question": "q-1", "verdict": "good"})
        fake.happen("im.message.message_read_v1", {"reader": {}})
        fake.happen("im.message.reaction.created_v1", {"message_id": message_id})
        fake.happen("im.message.receive_v1", {"sender": {}})
        fake.set_bot_inside(chat_id, False)
        await eventually(fake, lambda: len(fake.deliveries.all) == 7 and not fake.unacked_events())
    assert outcomes(fake) == [["200"]] * 7
    assert {type(event) for event in heard.events} == {ChatMessage, MessageDeleted, FeedbackGiven}
    assert fake.delivery(event_id).data == {"toast": {"type": "success", "content": "👍"}}


@pytest.mark.parametrize(
    ("fault", "detail"), [("fragments", {}), ("fragments", {"copies": 2}), ("duplicate_event", {})]
)
async def test_fragments_and_copies(
    fake: FakeLark, make_platform: MakePlatform, fault: str, detail: dict[str, Any]
) -> None:
    """Fragments in any order are one event, and each copy of an event is handed over once, however many fragments."""
    heard = Heard()
    async with listening(fake, make_platform(), heard):
        fake.fail("event", fault, **detail)
        message_id = fake.say("why? " + "x" * 3000, mention_bot=True)
        await acknowledged(fake)
        copies = 1 if fault == "fragments" and not detail else 2
        await eventually(fake, lambda: len(heard.events) == copies)
    assert {event.message_id for event in heard.events if isinstance(event, ChatMessage)} == {message_id}


async def test_a_lost_fragment_comes_again(fake: FakeLark, make_platform: MakePlatform) -> None:
    """An event that never became whole is delivered again."""
    fake.change_rules(ack_timeout_s=0.3)
    heard = Heard()
    async with listening(fake, make_platform(), heard):
        fake.fail("event", "lost_fragment")
        fake.say("why?", mention_bot=True)
        await acknowledged(fake)
    assert outcomes(fake) == [["timeout", "200"]]
