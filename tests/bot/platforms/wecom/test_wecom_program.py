"""`python -m bot wecom` as a process of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.platform import NotConfiguredError
from bot.platforms.wecom import create
from bot.registry import create_platform
from tests.bot.answering import answering
from tests.bot.conftest import MakeSettings
from tests.bot.platforms.bot_program import bot_program
from tests.bot.platforms.wecom.conftest import GROUP, answered, say, when
from tests.fakes.wecom import FakeWeCom
from tests.valkey import ValkeyServer


def long_link(fake: FakeWeCom) -> dict[str, str]:
    """The settings that point a program at the fake's long connection."""
    return {name: value for name, value in fake.urls().items() if name.startswith("FENNEL_WECOM__")}


async def test_a_process_that_is_killed_goes_on_in_the_same_message(
    fake: FakeWeCom, valkey: ValkeyServer, tmp_path: Path
) -> None:
    """`python -m bot wecom` from the command line: answers, is killed with SIGKILL, and its successor goes on."""
    async with bot_program("wecom", valkey, tmp_path, **long_link(fake)) as first:
        await asyncio.to_thread(fake.wait_until_subscribed, 30)
        message_id = await say(fake)
        await when(fake, lambda: fake.replies_to(message_id))
        first.kill()
    async with bot_program("wecom", valkey, tmp_path, **long_link(fake)) as second, answering(valkey.address):
        await answered(fake, message_id)
        second.terminate()
        assert await asyncio.wait_for(second.wait(), 20) == 0
    assert len(fake.bot_messages(GROUP)) == 1


async def test_a_process_whose_link_is_taken_ends_with_an_error(
    fake: FakeWeCom, valkey: ValkeyServer, tmp_path: Path
) -> None:
    """The process ends with 3, for which supervisord lets it rest, and says that another instance has the link."""
    async with bot_program("wecom", valkey, tmp_path, **long_link(fake)) as process:
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
