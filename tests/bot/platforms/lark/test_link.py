"""The long connection on Lark's own client: what breaks it, and what brings it back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from bot.platform import LinkDeadError
from bot.platforms.lark import platform as lark_platform
from tests.bot.platforms.lark.conftest import QUICK, Heard, MakePlatform, eventually, listening
from tests.fakes.lark import FakeLark


def own_links(others: set[threading.Thread]) -> list[threading.Thread]:
    """The threads of long connections that were started since `others` were all."""
    return [thread for thread in set(threading.enumerate()) - others if thread.name == "lark-link"]


@pytest.mark.parametrize("act", ["close_links", "abort_links", "silence_links"])
async def test_a_link_that_went_away_comes_back(fake: FakeLark, make_platform: MakePlatform, act: str) -> None:
    """Closed, cut or gone silent: the link is there again, and what happened meanwhile is taken."""
    heard = Heard()
    async with listening(fake, make_platform(), heard):
        old = fake.link.connections[0].device_id
        getattr(fake, act)()
        await eventually(fake, lambda: [each for each in fake.link.connections if each.device_id != old])
        fake.say("why?", mention_bot=True)
        await eventually(fake, lambda: heard.texts)


@pytest.mark.parametrize(
    ("kind", "fault", "detail"),
    [
        ("endpoint", "code", {"code": 99991400}),  # the SDK's client would wait for ever
        ("endpoint", "code", {"code": 1}),
        ("endpoint", "code", {"code": 1000040343}),
        ("endpoint", "code", {"code": 1000040350}),
        ("endpoint", "html", {"status": 500}),
        ("handshake", "refuse", {"status": 514, "auth_code": 1000040350}),  # and here
        ("handshake", "refuse", {"status": 403}),
    ],
)
async def test_a_link_that_cannot_come_back_at_once_is_built_anew(
    fake: FakeLark, make_platform: MakePlatform, kind: str, fault: str, detail: dict[str, Any]
) -> None:
    """Whatever reconnecting is answered with, the link comes back when that is over."""
    heard = Heard()
    async with listening(fake, make_platform(), heard):
        fake.fail(kind, fault, times=2, **detail)
        fake.abort_links()
        await eventually(fake, lambda: not any(f.times for f in fake.faults))
        await eventually(fake, lambda: fake.link.connections)
        fake.say("why?", mention_bot=True)
        await eventually(fake, lambda: heard.texts)


async def test_a_frozen_discovery_is_left_behind(fake: FakeLark, make_platform: MakePlatform) -> None:
    """A discovery call that hangs holds up its own thread only: another link is built, and stays the only one."""
    heard, others = Heard(), set(threading.enumerate())
    async with listening(fake, make_platform(), heard):
        fake.fail("endpoint", "hang")
        fake.abort_links()
        await eventually(fake, lambda: fake.link.connections and not any(f.times for f in fake.faults), 15)
        fake.say("why?", mention_bot=True)
        await eventually(fake, lambda: heard.texts)
        fake.release_hung()
        await eventually(fake, lambda: len(own_links(others)) == 1)
        assert len(fake.link.connections) == 1


@pytest.mark.parametrize(
    ("act", "kind", "fault", "detail"),
    [
        ("abort_links", "endpoint", "code", {"code": 99991400}),
        ("abort_links", "handshake", "refuse", {"status": 514, "auth_code": 1000040350}),
        ("abort_links", "endpoint", "hang", {}),
        ("silence_links", "endpoint", "code", {"code": 99991400}),
    ],
)
async def test_a_link_that_stays_away_ends_the_program(
    fake: FakeLark, make_platform: MakePlatform, act: str, kind: str, fault: str, detail: dict[str, Any]
) -> None:
    """A zombie, a frozen and a silent link that does not come back ends within `link_timeout_s`, and says why."""
    times = replace(QUICK, link_timeout_s=1.0, rebuild_after_s=0.3, pause_first_s=0.05, pause_last_s=0.1)
    async with listening(fake, make_platform(times=times), Heard()) as task:
        fake.fail(kind, fault, times=999, **detail)
        began_s = time.monotonic()
        getattr(fake, act)()
        # A silent link is still heard of a moment ago, and a thread that hangs is waited for a little.
        await asyncio.wait([task], timeout=6)
        assert time.monotonic() - began_s < 1.0 + 2.5
        with pytest.raises(LinkDeadError, match=r"does not come back"):
            await task
        fake.release_hung()


async def test_pings_that_are_not_answered_are_a_silent_link(fake: FakeLark, make_platform: MakePlatform) -> None:
    """A link that takes what is sent and never answers is built anew."""
    async with listening(fake, make_platform(), Heard()):
        old = fake.link.connections[0].device_id
        fake.fail("ping", "mute", times=10)
        await eventually(fake, lambda: [each for each in fake.link.connections if each.device_id != old])


async def test_the_platform_sets_how_often_it_is_pinged(fake: FakeLark, make_platform: MakePlatform) -> None:
    """A pong that changes the interval makes the watch patient, too: the link is not built anew for it."""
    async with listening(fake, make_platform(), Heard()):
        old = fake.link.connections[0].device_id
        fake.fail("ping", "reconfigure", config={"PingInterval": 1.2})
        await eventually(fake, lambda: not any(each.times for each in fake.faults))
        pings = sum(line.kind == "ping" for line in fake.journal)
        # The old interval's silence would be over after 0.9 s.
        await eventually(fake, lambda: sum(line.kind == "ping" for line in fake.journal) > pings)
        assert [each.device_id for each in fake.link.connections] == [old]


async def test_a_wrong_secret_ends_the_program_at_once(fake: FakeLark, make_platform: MakePlatform) -> None:
    """Nobody waits for a secret to become right."""
    with pytest.raises(LinkDeadError, match="FENNEL_LARK__APP_SECRET"):
        await make_platform({"app_secret": "wrong"}).listen(Heard())


async def test_the_bot_waits_for_lark_to_say_who_it_is(
    fake: FakeLark, make_platform: MakePlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway's page at the start is asked again."""
    monkeypatch.setattr(lark_platform, "RETRY_S", 0.1)
    fake.fail("bot.info", "html")
    heard = Heard()
    async with listening(fake, make_platform(), heard):
        fake.say("why?", mention_bot=True)
        await eventually(fake, lambda: heard.texts)


async def test_closing_leaves_nothing_behind(fake: FakeLark, make_platform: MakePlatform) -> None:
    """After closing, the connection and its thread are gone; closing twice is once."""
    platform, others = make_platform(), set(threading.enumerate())

    async with listening(fake, platform, Heard()):
        assert own_links(others)
    await platform.close()
    await eventually(fake, lambda: not fake.link.connections and not own_links(others))


async def test_closing_while_nobody_answers_returns(fake: FakeLark, make_platform: MakePlatform) -> None:
    """A platform that is closed while it asks who it is stops listening."""
    fake.fail("bot.info", "html", times=999)
    platform = make_platform()
    task = asyncio.create_task(platform.listen(Heard()))
    await eventually(fake, lambda: [line for line in fake.journal if line.kind == "bot.info"])
    await platform.close()
    await asyncio.wait_for(task, 5)


SMALL_IMPORT = """
import sys
from bot.platforms.lark.sdk import ws_client
import psutil
client = ws_client().Client
assert "lark_oapi" not in sys.modules
modules = [name for name in sys.modules if name.startswith("lark_oapi.")]
assert len(modules) < 100, len(modules)
assert psutil.Process().memory_info().rss < 90 * 2**20
"""


def test_only_a_part_of_the_sdk_is_imported() -> None:
    """The link's client costs a few dozen of the SDK's modules, not ten thousand."""
    subprocess.run([sys.executable, "-W", "error", "-c", SMALL_IMPORT], check=True, timeout=60)
