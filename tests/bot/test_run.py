"""A bot process: how it starts, stops, and ends when it has to."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis.asyncio

from bot.__main__ import main
from bot.platform import LinkDeadError, NotConfiguredError, PlatformError
from bot.registry import PLATFORMS, create_platform
from bot.run import run_bot
from config.environment import CHECKOUT
from contract import names
from tests.bot.answering import answering
from tests.bot.conftest import MakeSettings, running_bot
from tests.fakes.chat import FakeChat
from tests.fakes.chat_platform import ChatPlatform
from tests.valkey import ValkeyServer

START_WITHIN_S = 20.0


class BotProcess:
    """A bot in a process of its own."""

    def __init__(self, url: str, home: Path) -> None:
        self._environment = {
            "PATH": os.environ["PATH"],
            "FENNEL_HOME": str(home),
            "FENNEL_REDIS__URL": url,
            "FENNEL_BOT__DELIVERY_INTERVAL_S": "0.05",
            "PYTHONUNBUFFERED": "1",
        }
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start ``python -m ARGUMENTS``."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *arguments,
            cwd=CHECKOUT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return self.process

    async def until_printed(self, text: str) -> str:
        """Read what it prints until this is among it."""
        assert self.process is not None
        assert self.process.stdout is not None
        printed = ""
        async with asyncio.timeout(START_WITHIN_S):
            while text not in printed:
                line = await self.process.stdout.readline()
                assert line, printed
                printed += line.decode()
        return printed

    async def end(self) -> tuple[int, str]:
        """Wait for its end; gives the exit code and what else it printed."""
        assert self.process is not None
        async with asyncio.timeout(START_WITHIN_S):
            printed, _ = await self.process.communicate()
        return self.process.returncode or 0, printed.decode()


@pytest.fixture
async def start_bot(valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Callable[..., BotProcess]]:
    """Make bot processes, and end those that a failed test leaves."""
    processes: list[BotProcess] = []

    def make(url: str = valkey.url) -> BotProcess:
        processes.append(BotProcess(url, tmp_path / "home"))
        return processes[-1]

    yield make
    for one in processes:
        if one.process and one.process.returncode is None:
            one.process.kill()
            await one.process.communicate()


@pytest.mark.parametrize("name", ["slack", "lark", "wecom"])
def test_a_platform_without_settings_says_which_it_wants(make_settings: MakeSettings, name: str) -> None:
    """The sentence names the settings to set."""
    with pytest.raises(NotConfiguredError, match=rf"{name} is not configured: set FENNEL_{name.upper()}__"):
        create_platform(name, make_settings())


def test_an_unknown_platform_is_answered_with_those_there_are(make_settings: MakeSettings) -> None:
    """A wrong name is a sentence with the right ones."""
    with pytest.raises(PlatformError, match="there is no platform 'skype'; there are: ") as caught:
        create_platform("skype", make_settings())
    assert all(name in str(caught.value) for name in PLATFORMS)


@pytest.mark.usefixtures("logging_as_before")
def test_the_exit_code_tells_supervisord_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A platform that is not set up has nothing to do and ends well; a wrong name ends badly."""
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path / "home"))
    assert main(["slack"]) == 0
    assert "slack is not configured" in capsys.readouterr().err
    assert main(["skype"]) == 1
    assert "there is no platform" in capsys.readouterr().err


async def test_a_bot_waits_for_redis_and_stops_at_sigterm(
    chat: FakeChat, start_bot: Callable[..., BotProcess], make_valkey: Callable[[], ValkeyServer]
) -> None:
    """Started before Redis it says so once and goes on when Redis is there; SIGTERM ends it with code 0."""
    server = make_valkey()
    server.stop()
    bot = start_bot(server.url)
    process = await bot.start("tests.fakes.chat_bot", "--url", chat.url)
    printed = await bot.until_printed("waiting for Redis")
    await asyncio.to_thread(server.start)
    printed += await bot.until_printed("ready")
    assert printed.count("waiting for Redis") == 1
    process.send_signal(signal.SIGTERM)
    code, printed = await bot.end()
    assert (code, "stopping" in printed) == (0, True)


async def test_a_second_bot_for_the_account_refuses_to_start(
    chat: FakeChat, start_bot: Callable[..., BotProcess], redis_client: redis.asyncio.Redis
) -> None:
    """The second copy ends with a sentence and a code that is not 0; after kill -9 of the first a new one starts."""
    first, second, third = start_bot(), start_bot(), start_bot()
    process = await first.start("tests.fakes.chat_bot", "--url", chat.url)
    await first.until_printed("ready")
    await second.start("tests.fakes.chat_bot", "--url", chat.url)
    code, printed = await second.end()
    assert code == 1
    assert f"another bot (process {process.pid}) serves this account already." in printed
    process.kill()
    await first.end()
    process = await third.start("tests.fakes.chat_bot", "--url", chat.url)
    await third.until_printed("ready")
    process.terminate()
    assert (await third.end())[0] == 0
    assert not await redis_client.exists(names.bot_lock_key("chat", "test"))


async def test_a_dead_link_ends_the_process(chat: FakeChat, make_settings: MakeSettings) -> None:
    """When the platform says that its link does not come back, the bot raises that, and lets go of its lock."""

    class Dead(ChatPlatform):
        async def listen(self, receive: object) -> None:
            raise LinkDeadError("the link is gone")

    settings = make_settings()
    with pytest.raises(LinkDeadError, match="the link is gone"):
        await run_bot(Dead(chat.url), settings, asyncio.Event())
    async with running_bot(ChatPlatform(chat.url), settings) as again:
        message_id = chat.write("Still there?")
        async with answering(settings.redis_address):
            await asyncio.to_thread(chat.wait_ended, message_id, 8)
        assert not again.done()


async def test_a_bot_that_kills_itself_at_any_step_answers_everything_once(
    chat: FakeChat, start_bot: Callable[..., BotProcess], valkey: ValkeyServer
) -> None:
    """With kill -9 at one step in eight, and a new process after each, every question has one reply, in order."""
    arguments = ["tests.fakes.chat_bot", "--url", chat.url, "--self-kill", "0.12"]
    message_ids = [chat.write(f"question {number}", thread=f"t{number % 2}") for number in range(10)]
    deaths = 0
    async with answering(valkey.address):
        bot = start_bot()
        process = await bot.start(*arguments)
        async with asyncio.timeout(90):
            while not all(chat.ended(message_id) for message_id in message_ids):
                try:
                    async with asyncio.timeout(0.1):
                        await process.communicate()
                except TimeoutError:
                    continue
                assert process.returncode == -signal.SIGKILL
                deaths += 1
                process = await bot.start(*arguments)
        process.kill()
        await process.communicate()
    assert deaths
    assert [len(chat.replies(message_id)) for message_id in message_ids] == [1] * 10
    for thread in range(2):
        ends = [chat.replies(message_id)[0].ended_at or 0 for message_id in message_ids[thread::2]]
        assert ends == sorted(ends)


def test_a_bot_loads_nothing_of_the_workers() -> None:
    """What a bot imports knows no model: torch, transformers, numpy and RQ are not among it."""
    look = "import json, sys, bot.__main__, bot.platforms.console; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", look], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & {"torch", "transformers", "numpy", "workers", "rq"}
