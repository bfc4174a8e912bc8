"""What comes over WeCom's long connection is taken in once, and each kind of event has its answer."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio

from bot.chat_event import ChatEvent, FeedbackGiven
from bot.chat_message import ChatMessage
from bot.inbox import InboxError
from bot.platforms.wecom.sentences import TEXT_ONLY, WELCOME
from contract import names
from tests.bot.answering import answering, take
from tests.bot.conftest import MakeSettings, until
from tests.bot.platforms.wecom.conftest import GROUP, USER, answered, linked_bot, long_connection, say, when
from tests.fakes.wecom import FakeWeCom
from tests.valkey import ValkeyServer


async def test_the_same_message_twice_is_one_question(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer, redis_client: redis.asyncio.Redis
) -> None:
    """A message that arrives again with another req_id is recognised by its id."""
    fake.fail("aibot_msg_callback", "duplicate")
    async with linked_bot(fake, make_settings()), answering(valkey.address):
        message_id = await say(fake)
        await answered(fake, message_id)
        await until(lambda: _nothing_open(redis_client))
    assert len(fake.bot_messages(GROUP)) == 1


async def _nothing_open(client: redis.asyncio.Redis) -> bool:
    return not await client.zcard(names.open_key("wecom"))


async def test_a_message_that_arrives_while_the_connection_dies_is_answered(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """A question received just before a cut is answered over the next connection."""
    fake.fail("aibot_msg_callback", "abort")
    async with linked_bot(fake, make_settings()), answering(valkey.address):
        await answered(fake, await say(fake))
    assert len(fake.bot_messages(GROUP)) == 1


async def test_what_redis_did_not_take_is_handed_over_again(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """WeCom never delivers again, so an event that was not safe is kept and handed over until it is, in order."""
    got: list[str] = []
    failures = iter([True, True, False, False])

    async def receive(event: ChatEvent) -> None:
        if next(failures):
            raise InboxError("Redis took nothing in")
        assert isinstance(event, ChatMessage)
        got.append(event.text)

    platform = long_connection(fake, make_settings())
    listening = asyncio.create_task(platform.listen(receive))
    await asyncio.to_thread(fake.wait_until_subscribed)
    await say(fake, "first")
    await say(fake, "second")
    await until(lambda: _as_long(got, 2))
    await platform.close()
    await listening
    assert got == ["first", "second"]


async def test_a_chat_whose_event_waits_for_redis_holds_up_no_other(
    fake: FakeWeCom, make_settings: MakeSettings
) -> None:
    """Events of one chat keep their order; those of another chat go on meanwhile."""
    got: list[str] = []
    let_go = asyncio.Event()
    waiting = asyncio.Event()

    async def receive(event: ChatEvent) -> None:
        assert isinstance(event, ChatMessage)
        if event.text == "slow":
            waiting.set()
            await let_go.wait()
        got.append(event.text)

    platform = long_connection(fake, make_settings())
    listening = asyncio.create_task(platform.listen(receive))
    await asyncio.to_thread(fake.wait_until_subscribed)
    await say(fake, "slow", chatid="wr_1")
    await say(fake, "behind it", chatid="wr_1")
    await waiting.wait()
    # Two chats may share a lane by chance, so that there are several others.
    others = [f"other {number}" for number in range(20)]
    for number, text in enumerate(others):
        await say(fake, text, chatid=f"wr_other_{number}")
    await until(lambda: _as_long(got, 5))
    assert "behind it" not in got
    let_go.set()
    await until(lambda: _as_long(got, 22))
    await platform.close()
    await listening
    assert got.index("slow") < got.index("behind it")


async def _as_long(got: list[str], length: int) -> bool:
    return len(got) >= length


async def test_feedback_is_handed_over(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """What a person thinks of an answer arrives with the question's id; a feedback that is taken back does not."""
    got: list[ChatEvent] = []

    async def receive(event: ChatEvent) -> None:
        got.append(event)

    platform = long_connection(fake, make_settings())
    listening = asyncio.create_task(platform.listen(receive))
    await asyncio.to_thread(fake.wait_until_subscribed)
    for kind in (3, 2):
        detail = {"id": "q-1", "type": kind, "content": "outdated"}
        await asyncio.to_thread(fake.do, "event", eventtype="feedback_event", chatid=GROUP, user=USER, detail=detail)
    await until(lambda: _is_there(got))
    await platform.close()
    await listening
    (feedback,) = got
    assert isinstance(feedback, FeedbackGiven)
    assert (feedback.question_id, feedback.by, feedback.verdict, feedback.reason) == ("q-1", USER, "bad", "outdated")


async def _is_there(got: list[ChatEvent]) -> bool:
    return bool(got)


async def test_who_opens_the_chat_is_welcomed(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """Opening a single chat is answered with a welcome in both languages."""
    async with linked_bot(fake, make_settings()):
        await asyncio.to_thread(fake.do, "event", eventtype="enter_chat", user=USER)
        await when(fake, lambda: fake.bot_messages(USER))
    assert [shown.content for shown in fake.bot_messages(USER)] == [WELCOME]
    assert not fake.violations()


@pytest.mark.parametrize("kind", ["image", "file", "video"])
async def test_what_has_no_words_is_answered_with_a_sentence(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, kind: str
) -> None:
    """An image, a file and a video are no questions; their sender is told what to write instead."""
    async with linked_bot(fake, make_settings()):
        message_id = await say(fake, "", msgtype=kind, chatid=None, user=USER)
        shown = await answered(fake, message_id)
    assert shown.content == TEXT_ONLY
    assert not await redis_client.llen(names.QUEUE_KEY)


async def test_nothing_but_a_mention_is_asked_what_it_wants(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """A bare mention gets the fixed sentence, in a finished stream."""
    async with linked_bot(fake, make_settings()):
        shown = await answered(fake, await say(fake, ""))
    assert "?" in shown.content or "？" in shown.content or "问题" in shown.content


async def test_a_picture_with_words_is_understood_by_its_words(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """Of a message that mixes words and pictures, and quotes another, the words and the quote are asked."""
    async with linked_bot(fake, make_settings()):
        await say(fake, "这是什么？", msgtype="mixed", quote="第一行\n第二行")
        question = await until(lambda: take(redis_client))
    assert question.text == "这是什么？\n\n> 第一行\n> 第二行"
