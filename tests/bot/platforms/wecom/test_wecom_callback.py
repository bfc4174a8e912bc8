"""Callback mode: WeCom calls and polls us; whoever else calls is turned away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest
import redis.asyncio

from bot.chat_event import ChatEvent, FeedbackGiven
from bot.platform import LinkDeadError, PlatformError
from bot.platforms.wecom import create
from bot.platforms.wecom.answer import AnswerTimes
from bot.platforms.wecom.callback import CallbackSettings, WeComCallback
from bot.platforms.wecom.callback_server import MAX_BODY_BYTES, PATH
from bot.platforms.wecom.crypto import CallbackCipher, ForgedError
from bot.platforms.wecom.sentences import TEXT_ONLY, WELCOME
from bot.reply_slot import AtStep, go_on
from config.settings import Settings
from contract import names
from contract.answer import FinalAnswer, Outcome
from tests.bot.answering import answering, echo, finish, publish, take
from tests.bot.conftest import MakeSettings, running_bot, until
from tests.bot.crashing import crash_at, nothing_is_open
from tests.bot.platforms.wecom.conftest import GROUP, THINKING, USER, MakeFake, answered, limits, say, when
from tests.fakes.wecom import FakeWeCom, crypto
from tests.valkey import ValkeyServer

VECTORS = json.loads((Path(__file__).parents[3] / "data" / "wecom_crypto_vectors.json").read_text())
STEPS = ["sending is written down", "sent, and not written down", "before an edit", "edited", "the end is written down"]


def callback_bot(fake: FakeWeCom, settings: Settings, **changed: str) -> WeComCallback:
    """A bot that takes this fake's callbacks, on a free port."""
    values = {"token": fake.account.token, "aes_key": fake.account.aes_key, "api_url": fake.url} | changed
    times = AnswerTimes(360 * fake.time_scale, 300 * fake.time_scale)
    return WeComCallback(
        CallbackSettings("127.0.0.1", 0, **values),
        fake.account.bot_id,
        settings.redis_address,
        fake.account.bot_name,
        times,
        limits(fake.time_scale).rate,
    )


@contextlib.asynccontextmanager
async def called_bot(
    fake: FakeWeCom, settings: Settings, at_step: AtStep = go_on, **changed: str
) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    """A bot whose address the fake has verified; its address and its task."""
    platform = callback_bot(fake, settings, **changed)
    async with running_bot(platform, settings, at_step) as bot:
        await until(lambda: asyncio.sleep(0, platform.server.port))
        url = f"http://127.0.0.1:{platform.server.port}{PATH}"
        told = await asyncio.to_thread(lambda: fake.do("use_callback", url=url))
        assert told["verified"], told
        yield url, bot


# --- encryption


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: vector["name"])
def test_the_cipher_is_that_of_wecoms_own_client(vector: dict[str, str]) -> None:
    """Sealed, signed and opened byte for byte as WecomCrypto does it; what names a receiver is refused."""
    cipher = CallbackCipher(VECTORS["token"], VECTORS["aes_key"])
    signed = (vector["msg_signature"], vector["timestamp"], vector["nonce"], vector["encrypt"])
    assert cipher.sign(*signed[1:]) == vector["msg_signature"]
    if vector["receive_id"]:
        with pytest.raises(ForgedError):
            cipher.open(*signed)
        return
    assert cipher.seal(vector["message"], bytes.fromhex(VECTORS["random16_hex"])) == vector["encrypt"]
    assert cipher.open(*signed) == vector["message"]


@pytest.mark.parametrize("length", range(0, 70, 3))
def test_what_is_sealed_is_opened(length: int) -> None:
    """A message of any length around the block's survives."""
    cipher = CallbackCipher("t", crypto.new_aes_key())
    sealed = cipher.seal("字" * length)
    assert cipher.open(cipher.sign("1", "n", sealed), "1", "n", sealed) == "字" * length


@pytest.mark.parametrize(
    ("token", "aes_key"),
    [("", "k"), ("t", ""), ("t", "tooshort"), ("t", "!" * 43), ("t", crypto.new_aes_key()[:-4])],
    ids=["no token", "no key", "short", "not base64", "cut"],
)
def test_without_proper_keys_it_does_not_start(token: str, aes_key: str, make_settings: MakeSettings) -> None:
    """No token, no key, or no real key: a sentence that names the settings, and no server."""
    with pytest.raises(PlatformError, match="FENNEL_WECOM__AES_KEY"):
        create(make_settings(wecom={"mode": "callback", "token": token, "aes_key": aes_key}))


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


# --- what comes too late for the stream


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
