"""The link to WeCom: it comes back by itself, ends where it must, and loses nothing that reached it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis.asyncio

from bot.chat_event import ChatEvent, FeedbackGiven
from bot.chat_message import ChatMessage
from bot.inbox import InboxError
from bot.lock import LockHeldError
from bot.platform import LinkDeadError, LinkTakenError, NotConfiguredError
from bot.platforms.wecom import create, metrics
from bot.platforms.wecom.sentences import TEXT_ONLY, WELCOME
from bot.registry import create_platform
from config.environment import environment_with
from config.settings import Settings
from contract import names
from tests.bot.answering import answering, take
from tests.bot.conftest import MakeSettings, running_bot, until
from tests.bot.platforms.wecom.conftest import GROUP, USER, MakeFake, answered, linked_bot, long_connection, say, when
from tests.fakes.wecom import FakeWeCom
from tests.valkey import ValkeyServer


def gaps_s() -> float:
    """Seconds without a link that were counted so far."""
    return float(metrics.link_gaps.labels("wecom")._value.get())


def subscriptions(fake: FakeWeCom) -> int:
    """How often the bot was let in."""
    return sum(line.kind == "subscribed" for line in fake.journal)


async def until_the_bot_ends(fake: FakeWeCom, settings: Settings, act: str) -> None:
    """Let something happen that the bot does not survive; raises what it ends with."""
    async with linked_bot(fake, settings) as bot:
        await asyncio.to_thread(fake.do, act)
        await asyncio.wait([bot])


def bot_environment(fake: FakeWeCom, valkey: ValkeyServer, home: Path) -> dict[str, str]:
    """What a bot in a process of its own has to know."""
    urls = {name: value for name, value in fake.urls().items() if name.startswith("FENNEL_WECOM__")}
    return environment_with(**urls, FENNEL_REDIS__URL=valkey.url, FENNEL_HOME=str(home))


@contextlib.asynccontextmanager
async def bot_process(env: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m bot wecom`, which is gone behind the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "wecom", env=env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def subscribed_again(fake: FakeWeCom, times: int = 2) -> None:
    """Wait for a further subscription."""
    await when(fake, lambda: subscriptions(fake) >= times and fake.long_link.live)


@pytest.mark.parametrize("fault", ["close", "abort"])
async def test_a_link_that_breaks_comes_back_and_the_gap_is_measured(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer, fault: str
) -> None:
    """After a clean close and after a cut the bot subscribes again, answers, and counts the seconds without a link."""
    before_s = gaps_s()
    async with linked_bot(fake, make_settings()), answering(valkey.address):
        await asyncio.to_thread(fake.do, fault)
        await subscribed_again(fake)
        await answered(fake, await say(fake))
    assert gaps_s() > before_s


async def test_a_message_of_a_gap_is_lost_and_the_gap_is_told(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is written while the link is down never arrives; the bot says that there was a gap, and goes on."""
    async with linked_bot(fake, make_settings(), backoff_first_s=0.5, backoff_last_s=0.5), answering(valkey.address):
        await asyncio.to_thread(fake.do, "abort")
        lost = await say(fake, "verloren?")
        await subscribed_again(fake)
        await answered(fake, await say(fake))
    assert [body["msgid"] for body in fake.lost_messages()] == [lost]
    assert not fake.replies_to(lost)
    assert "what people wrote to the bot meanwhile is lost" in capsys.readouterr().out


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_gap_between_two_processes_is_measured(
    fake: FakeWeCom,
    make_settings: MakeSettings,
    redis_client: redis.asyncio.Redis,
    capsys: pytest.CaptureFixture[str],
    end: str,
) -> None:
    """A new process sees in Redis when the old one's link was alive last, whether that was stopped or killed."""
    settings, key = make_settings(), names.wecom_link_key(fake.account.bot_id)
    before_s = gaps_s()
    async with linked_bot(fake, settings, heartbeat_s=0.05):
        first_s = float(await until(lambda: redis_client.hget(key, "alive_at_s")))
        await until(lambda: _is_later(redis_client, key, first_s))
    assert gaps_s() == before_s
    if end == "kill":
        # A process that was killed said nothing at its end: the last heartbeat is what it left.
        await redis_client.hset(key, "alive_at_s", repr(time.time() - 30))
    ended_s = float(await redis_client.hget(key, "alive_at_s") or 0)
    async with linked_bot(fake, settings):
        await until(lambda: _is_later(redis_client, key, time.time() - 1 if end == "kill" else ended_s))
        gap_s = gaps_s() - before_s
        assert float(await redis_client.hget(key, "gaps_s") or 0) == pytest.approx(gap_s)
    assert (gap_s >= 30) if end == "kill" else (0 < gap_s < 5)
    assert "what people wrote to the bot meanwhile is lost" in capsys.readouterr().out


async def _is_later(client: redis.asyncio.Redis, key: str, than_s: float) -> bool:
    return float(await client.hget(key, "alive_at_s") or 0) > than_s


async def test_a_link_does_not_wait_for_redis(
    fake: FakeWeCom, make_settings: MakeSettings, make_valkey: Callable[[], ValkeyServer]
) -> None:
    """While Redis is away the link comes back as ever, and what it missed is written down later."""
    server = make_valkey()
    async with linked_bot(fake, make_settings(server.url)):
        server.kill()
        await asyncio.to_thread(fake.do, "abort")
        await subscribed_again(fake)
        await asyncio.to_thread(server.start)


async def test_a_link_whose_pings_are_not_answered_is_opened_anew(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """A connection that is open and dead is noticed by two pings without an answer."""
    fake.fail("ping", "mute", times=2)
    async with linked_bot(fake, make_settings(), heartbeat_s=0.1, answer_s=0.2), answering(valkey.address):
        await subscribed_again(fake)
        await answered(fake, await say(fake))


async def test_one_ping_without_an_answer_changes_nothing(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """A single missed ping is forgiven."""
    fake.fail("ping", "mute")
    async with linked_bot(fake, make_settings(), heartbeat_s=0.1, answer_s=1.0):
        await when(fake, lambda: sum(line.kind == "ping" for line in fake.journal) >= 3)
    assert subscriptions(fake) == 1


async def test_a_refused_handshake_is_tried_again(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """A server that is not ready is asked again until it is."""
    fake.fail("connect", "status", times=3, status=503)
    async with linked_bot(fake, make_settings()):
        assert subscriptions(fake) == 1


async def test_a_subscription_without_an_answer_is_tried_again(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """A subscription that is swallowed, and one that the connection dies of, are repeated on a new connection."""
    fake.fail("aibot_subscribe", "drop")
    fake.fail("aibot_subscribe", "abort")
    async with linked_bot(fake, make_settings()):
        assert sum(line.kind == "aibot_subscribe" for line in fake.journal) == 3


async def test_a_second_instance_ends_this_one_with_a_clear_sentence(
    fake: FakeWeCom, make_settings: MakeSettings
) -> None:
    """When another instance takes the link, the bot ends and does not take it back."""
    with pytest.raises(LinkDeadError, match="another instance of this bot has connected"):
        await until_the_bot_ends(fake, make_settings(), "kick")
    assert subscriptions(fake) == 1


async def test_of_two_bots_on_two_machines_the_newer_one_has_the_link(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer, make_valkey: Callable[[], ValkeyServer]
) -> None:
    """Where no lock is shared WeCom itself lets one in: the older bot ends, the newer one answers, nobody tugs."""
    elsewhere = make_valkey()

    async def serve_until_kicked() -> None:
        async with linked_bot(fake, make_settings(elsewhere.url)) as older:
            await newer_came.wait()
            await asyncio.wait([older], timeout=10)

    newer_came = asyncio.Event()
    older = asyncio.create_task(serve_until_kicked())
    await asyncio.to_thread(fake.wait_until_subscribed)
    async with running_bot(long_connection(fake, settings := make_settings()), settings), answering(valkey.address):
        await when(fake, lambda: subscriptions(fake) == 2)
        newer_came.set()
        with pytest.raises(LinkTakenError, match="another instance of this bot has connected"):
            await older
        await answered(fake, await say(fake))
    assert subscriptions(fake) == 2


async def test_a_second_bot_on_this_machine_is_kept_out_by_the_lock(
    fake: FakeWeCom, make_settings: MakeSettings
) -> None:
    """A second bot of the same account does not even connect, and the first one stays linked."""
    settings = make_settings()
    async with linked_bot(fake, settings):
        with pytest.raises(LockHeldError):
            async with running_bot(long_connection(fake, settings), settings) as second:
                await asyncio.wait([second])
    assert subscriptions(fake) == 1


async def test_a_rotated_secret_ends_the_bot_with_a_sentence(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """Refused three times in a row, the bot says that id or secret must be wrong, without showing them."""
    with pytest.raises(LinkDeadError, match=r"check wecom\.bot_id and wecom\.secret") as caught:
        await until_the_bot_ends(fake, make_settings(), "rotate_secret")
    assert sum(line.kind == "aibot_subscribe" for line in fake.journal) == 4
    assert fake.account.secret not in str(caught.value)


async def test_the_protection_against_many_subscriptions_is_waited_for(
    make_fake: MakeFake, make_settings: MakeSettings
) -> None:
    """Too many subscriptions are no wrong secret: the bot waits and is let in."""
    fake = make_fake(0.01, subscribes_per_min=2)
    async with linked_bot(fake, make_settings(), backoff_last_s=0.3):
        for times in (2, 3):
            await asyncio.to_thread(fake.do, "abort")
            await subscribed_again(fake, times)


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


async def test_a_process_that_is_killed_goes_on_in_the_same_message(
    fake: FakeWeCom, valkey: ValkeyServer, tmp_path: Path
) -> None:
    """`python -m bot wecom` from the command line: answers, is killed with SIGKILL, and its successor goes on."""
    env = bot_environment(fake, valkey, tmp_path)
    async with bot_process(env) as first:
        await asyncio.to_thread(fake.wait_until_subscribed, 30)
        message_id = await say(fake)
        await when(fake, lambda: fake.replies_to(message_id))
        first.kill()
    async with bot_process(env) as second, answering(valkey.address):
        await answered(fake, message_id)
        second.terminate()
        assert await asyncio.wait_for(second.wait(), 20) == 0
    assert len(fake.bot_messages(GROUP)) == 1


async def test_a_process_whose_link_is_taken_ends_with_an_error(
    fake: FakeWeCom, valkey: ValkeyServer, tmp_path: Path
) -> None:
    """The process ends with 3, for which supervisord lets it rest, and says that another instance has the link."""
    async with bot_process(bot_environment(fake, valkey, tmp_path)) as process:
        await asyncio.to_thread(fake.wait_until_subscribed, 30)
        await asyncio.to_thread(fake.do, "kick")
        _out, told = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 3
    assert "another instance of this bot has connected to WeCom" in told.decode().strip().splitlines()[-1]


def test_without_settings_it_says_which_it_wants(make_settings: MakeSettings) -> None:
    """A platform that is not set up names the settings; so does one that has those of the other mode alone."""
    with pytest.raises(NotConfiguredError, match="FENNEL_WECOM__BOT_ID"):
        create_platform("wecom", make_settings())
    with pytest.raises(NotConfiguredError, match="FENNEL_WECOM__SECRET"):
        create(make_settings(wecom={"token": "t", "aes_key": "k"}))
