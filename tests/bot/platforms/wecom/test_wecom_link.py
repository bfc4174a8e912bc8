"""The link to WeCom: it comes back by itself, ends where it must, and what it missed is told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
import redis.asyncio

from bot.lock import LockHeldError
from bot.platform import LinkDeadError, LinkTakenError
from bot.platforms.wecom import metrics
from config.settings import Settings
from contract import names
from tests.bot.answering import answering
from tests.bot.conftest import MakeSettings, running_bot, until
from tests.bot.platforms.wecom.conftest import MakeFake, answered, linked_bot, long_connection, say, when
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
