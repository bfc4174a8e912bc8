"""Callback mode: WeCom calls and polls us; whoever else calls is turned away."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import aiohttp
import pytest
import redis.asyncio

from bot.chat_event import ChatEvent, FeedbackGiven
from bot.platform import LinkDeadError
from bot.platforms.wecom.callback_server import MAX_BODY_BYTES, PATH
from bot.platforms.wecom.crypto import CallbackCipher
from bot.platforms.wecom.sentences import TEXT_ONLY, WELCOME
from contract import names
from tests.bot.answering import answering, echo, finish, publish, take
from tests.bot.conftest import MakeSettings, until
from tests.bot.crashing import crash_at, nothing_is_open
from tests.bot.platforms.wecom.conftest import GROUP, THINKING, USER, answered, callback_bot, called_bot, say, when
from tests.fakes.wecom import FakeWeCom
from tests.valkey import ValkeyServer

STEPS = ["sending is written down", "sent, and not written down", "before an edit", "edited", "the end is written down"]


# --- who is turned away


async def test_a_forged_verification_is_refused(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """The echo is given to WeCom alone."""
    async with called_bot(fake, make_settings()) as (url, _bot):
        fake.fail("verify", "forged")
        told = await asyncio.to_thread(lambda: fake.do("use_callback", url=url))
    assert (told["verified"], told["status"], told["text"]) == (False, 403, "")


@pytest.mark.parametrize(
    ("forgery", "status"),
    [
        ("forged", 403),
        ("other_key", 403),
        ("other_token", 403),
        ("other_receiver", 403),
        ("stale", 403),
        ("plain", 400),
        ("garbage", 400),
        ("unsigned", 403),
    ],
)
async def test_a_forged_callback_is_refused_and_makes_no_job(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, forgery: str, status: int
) -> None:
    """Whatever is wrong with it, the caller gets 4xx without a word, and nothing is asked or shown."""
    async with called_bot(fake, make_settings()):
        fake.fail("callback", forgery)
        told = await asyncio.to_thread(lambda: fake.say("rm -rf", chatid=GROUP))
        assert told["statuses"] == [status]
        assert not [key async for key in redis_client.scan_iter("fennel:question:*")]
        assert not await redis_client.llen(names.QUEUE_KEY)
    assert not fake.bot_messages(GROUP)


async def test_a_body_that_is_too_large_is_refused(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """More than any callback has is not even read."""
    async with called_bot(fake, make_settings()) as (url, _bot), aiohttp.ClientSession() as session:
        body = json.dumps({"encrypt": "A" * (MAX_BODY_BYTES + 1)})
        async with session.post(url, data=body, params={"msg_signature": "0", "timestamp": "1", "nonce": "n"}) as got:
            assert got.status == 413


@pytest.mark.parametrize("inside", ["[]", "3", "no json", '{"msgtype":"stream"}', '{"msgtype":"text"}', "[" * 100_000])
async def test_what_is_signed_and_makes_no_sense_does_no_harm(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer, inside: str
) -> None:
    """Rubbish under a right signature is answered without an error of ours, and the next question as ever."""
    cipher = CallbackCipher(fake.account.token, fake.account.aes_key)
    sealed = cipher.seal(inside)
    now = str(int(time.time()))
    query = {"msg_signature": cipher.sign(now, "n", sealed), "timestamp": now, "nonce": "n"}
    async with called_bot(fake, make_settings()) as (url, _bot), answering(valkey.address):
        async with aiohttp.ClientSession() as session, session.post(url, params=query, json={"encrypt": sealed}) as got:
            assert got.status in (200, 400)
            assert not await got.read()
        await answered(fake, await say(fake))


# --- questions


async def test_a_question_is_answered_in_the_stream_that_wecom_polls(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """The answer to the call shows that we think; each poll brings the newest text, the last one the end."""
    async with called_bot(fake, make_settings()):
        message_id = await say(fake)
        assert fake.replies_to(message_id)[0].content == THINKING
        question = await until(lambda: take(redis_client))
        await publish(redis_client, question, "先装")
        await when(fake, lambda: fake.replies_to(message_id)[0].content == "先装")
        await finish(redis_client, echo(question))
        shown = await answered(fake, message_id)
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert shown.content.startswith("You asked: 怎么部署？")
    assert shown.content.endswith("handbook/holidays.md")
    assert shown.feedback_id == question.id
    assert len(fake.bot_messages(GROUP)) == 1
    assert not fake.violations()


async def test_the_same_call_twice_is_one_question(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer, redis_client: redis.asyncio.Redis
) -> None:
    """A callback that comes again gets the same stream."""
    fake.fail("callback", "duplicate")
    async with called_bot(fake, make_settings()), answering(valkey.address):
        await answered(fake, await say(fake))
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert len(fake.bot_messages(GROUP)) == 1
    assert not fake.violations()


async def test_a_message_that_nobody_waits_for_any_more_opens_no_stream(
    fake: FakeWeCom, make_settings: MakeSettings
) -> None:
    """What intake meets with silence is met with silence: an empty 200."""
    async with called_bot(fake, make_settings()):
        message_id = await say(fake, create_time=int(time.time()) - 90_000)
    assert not fake.replies_to(message_id)
    assert not fake.violations()


async def test_a_bare_mention_is_asked_what_it_wants(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis
) -> None:
    """A refusal with a sentence comes in a stream like an answer."""
    async with called_bot(fake, make_settings()):
        await answered(fake, await say(fake, ""))
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert len(fake.bot_messages(GROUP)) == 1


async def test_what_has_no_words_and_who_opens_the_chat_get_their_sentences(
    fake: FakeWeCom, make_settings: MakeSettings
) -> None:
    """An image is answered with a sentence, an opened chat with a welcome, both at once."""
    async with called_bot(fake, make_settings()):
        shown = await answered(fake, await say(fake, "", msgtype="image", chatid=None, user=USER))
        await asyncio.to_thread(fake.do, "event", eventtype="enter_chat", user=USER)
    assert shown.content == TEXT_ONLY
    assert fake.bot_messages(USER)[-1].content == WELCOME
    assert not fake.violations()


async def test_feedback_is_handed_over(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """What a person thinks of an answer arrives with the question's id."""
    got: list[ChatEvent] = []

    async def receive(event: ChatEvent) -> None:
        got.append(event)

    platform = callback_bot(fake, make_settings())
    listening = asyncio.create_task(platform.listen(receive))
    await until(lambda: asyncio.sleep(0, platform.server.port))
    await asyncio.to_thread(lambda: fake.do("use_callback", url=f"http://127.0.0.1:{platform.server.port}{PATH}"))
    await asyncio.to_thread(fake.do, "event", eventtype="feedback_event", detail={"id": "q-1", "type": 1})
    await platform.close()
    await listening
    assert [event.verdict for event in got if isinstance(event, FeedbackGiven)] == ["good"]


async def test_what_redis_does_not_take_is_called_again(
    fake: FakeWeCom, make_settings: MakeSettings, make_valkey: Callable[[], ValkeyServer]
) -> None:
    """A callback that is not safe is answered with an error, so that WeCom calls again."""
    server = make_valkey()
    async with called_bot(fake, make_settings(server.url)), answering(server.address):
        server.kill()
        asking = asyncio.create_task(say(fake))
        await when(fake, lambda: [line for line in fake.journal if line.kind == "callback"])
        await asyncio.to_thread(server.start)
        await answered(fake, await asking)
    assert len(fake.bot_messages(GROUP)) == 1


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_leaves_one_message(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, step: str
) -> None:
    """Whatever step the process dies at, the next one answers the same stream's polls."""
    settings = make_settings()

    async def ask_and_crash() -> None:
        async with called_bot(fake, settings, crash_at(step)) as (_url, bot):
            await say(fake, msgid="m1")
            question = await until(lambda: take(redis_client))
            await publish(redis_client, question, "先装")
            await finish(redis_client, echo(question))
            await asyncio.wait([bot])

    with pytest.raises(BaseExceptionGroup):
        await ask_and_crash()
    async with called_bot(fake, settings):
        shown = await answered(fake, "m1")
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert shown.content.startswith("You asked")
    assert len(fake.bot_messages(GROUP)) == 1


async def test_many_questions_keep_the_rate_and_who_had_to_wait_is_told(
    either_count: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, few_a_minute: int
) -> None:
    """Beyond the rate no stream is opened: the answer comes whole by the response URL as soon as there is room."""
    fake = either_count
    async with called_bot(fake, make_settings()):
        message_ids = [await say(fake, f"问题 {number}") for number in range(few_a_minute + 2)]
        streams = len(fake.bot_messages(GROUP))
        for _ in message_ids:
            await finish(redis_client, echo(await until(lambda: take(redis_client))))
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert not fake.sends_above_rate()
    messages = [shown for message_id in message_ids for shown in fake.replies_to(message_id)]
    assert len(messages) == len(message_ids)
    for shown in messages:
        assert ("每分钟 6 条消息" in shown.content) == (shown.via == "response_url")
    assert [shown.via for shown in messages].count("callback") == streams == 5


async def test_a_call_that_comes_again_opens_no_stream_that_the_rate_had_no_room_for(
    fake: FakeWeCom, make_settings: MakeSettings, redis_client: redis.asyncio.Redis, few_a_minute: int
) -> None:
    """The same call twice stays one message where the first opened no stream."""
    async with called_bot(fake, make_settings()):
        for number in range(5):
            await say(fake, f"问题 {number}")
        fake.fail("callback", "duplicate")
        message_id = await say(fake)
        for _ in range(6):
            await finish(redis_client, echo(await until(lambda: take(redis_client))))
        await until(lambda: nothing_is_open(redis_client, "wecom"))
    assert [shown.via for shown in fake.replies_to(message_id)] == ["response_url"]


async def test_a_port_that_is_taken_ends_the_bot_with_a_sentence(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """The bot says where it cannot listen."""
    platform = callback_bot(fake, make_settings())
    platform.server.port = fake.port

    async def receive(event: ChatEvent) -> None:
        raise AssertionError(event)

    with pytest.raises(LinkDeadError, match=f"127.0.0.1:{fake.port} for wecom .* FENNEL_WECOM__CALLBACK_PORT"):
        await platform.listen(receive)
    await platform.close()
