"""What becomes of questions when Redis' data comes out of a backup that is older than the last answers."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio

from cli.append_only import FOLDER
from contract import names
from tests.bot.answering import answering, look
from tests.bot.conftest import MakeSettings, chat, make_settings, running_bot, until
from tests.cli.backups import run_backup, run_restore
from tests.fakes.chat import FakeChat
from tests.fakes.chat_platform import ChatPlatform
from tests.valkey import ValkeyServer

__all__ = ["chat", "make_settings"]  # fixtures


def back_up(server: ValkeyServer, home: Path, file: Path) -> None:
    """A backup of the server's files as they are now."""
    (home / "redis").mkdir(parents=True)
    (home / "redis" / FOLDER).symlink_to(server.folder / FOLDER)
    made = run_backup(file)
    assert made.exit_code == 0, made.exception
    shutil.rmtree(home)


def back_up_settings(home: Path, file: Path) -> str:
    """A backup of a home folder whose Redis is elsewhere; gives what was said."""
    home.mkdir()
    (home / "fennel.toml").write_text("[bot]\n")
    return run_backup(file).output


def started(home: Path, make: Callable[[], ValkeyServer]) -> ValkeyServer:
    """A server with the restored files."""
    server = make()
    server.stop()
    shutil.rmtree(server.folder / FOLDER)
    shutil.copytree(home / "redis" / FOLDER, server.folder / FOLDER)
    server.start()
    return server


@asynccontextmanager
async def served(chat: FakeChat, server: ValkeyServer, make: MakeSettings, *, by_a_worker: bool) -> AsyncIterator[None]:
    """A bot on this server, and, where it is wanted, somebody who answers."""
    settings = make(server.url)
    async with running_bot(ChatPlatform(chat.url), settings):
        if not by_a_worker:
            yield
            return
        async with answering(settings.redis_address):
            yield


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the backup is made from and restored to; not there yet."""
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path / "stack"))
    return tmp_path / "stack"


async def test_nothing_is_answered_twice_after_a_restore(
    chat: FakeChat, make_settings: MakeSettings, make_valkey: Callable[[], ValkeyServer], home: Path, tmp_path: Path
) -> None:
    """What was shown, open or not yet asked when the backup was made, and comes again, gets no second answer."""
    before = make_valkey()
    async with served(chat, before, make_settings, by_a_worker=True):
        shown = chat.write("shown before the backup")
        await asyncio.to_thread(chat.wait_ended, shown)
    async with (
        served(chat, before, make_settings, by_a_worker=False),
        redis.asyncio.Redis(unix_socket_path=str(before.socket), decode_responses=True) as client,
    ):
        waiting = [chat.write(f"open when it is made {number}", thread="one") for number in range(2)]
        begun = chat.write("begun when it is made")
        await until(lambda: _has_open(client, 3))
        await look(client)
        back_up(before, home, tmp_path / "b.tar")
    async with served(chat, before, make_settings, by_a_worker=True):
        later = chat.write("asked after the backup")
        for message_id in (*waiting, begun, later):
            await asyncio.to_thread(chat.wait_ended, message_id)
    old = {message_id: _texts(chat, message_id) for message_id in (shown, *waiting, begun, later)}
    before.kill()

    restored = run_restore(tmp_path / "b.tar")
    assert restored.exit_code == 0, restored.exception
    assert "3 questions were open." in restored.output
    for number, message_id in enumerate(old):
        chat.write("again", message_id=message_id, thread=f"again-{number}", at_s=time.time() - 30)
    after = started(home, make_valkey)
    async with served(chat, after, make_settings, by_a_worker=True):
        new = chat.write("asked after the restore", thread="one", at_s=time.time() + 1)
        await asyncio.to_thread(chat.wait_ended, new)
        await until(lambda: _all_acknowledged(chat))
        async with redis.asyncio.Redis(unix_socket_path=str(after.socket), decode_responses=True) as client:
            assert await client.llen(names.QUEUE_KEY) == 0
            assert await client.xlen(names.answers_stream("chat")) == 0

    assert {message_id: _texts(chat, message_id) for message_id in old} == old
    assert all(len(texts) == 1 for texts in old.values())


async def test_after_a_move_what_was_open_is_answered(
    chat: FakeChat, make_settings: MakeSettings, make_valkey: Callable[[], ValkeyServer], home: Path, tmp_path: Path
) -> None:
    """With --answer-open each question that was open is answered, once, and so is what comes again."""
    before = make_valkey()
    async with (
        served(chat, before, make_settings, by_a_worker=False),
        redis.asyncio.Redis(unix_socket_path=str(before.socket), decode_responses=True) as client,
    ):
        asked = [chat.write(f"open {number}", thread=f"t{number % 2}") for number in range(4)]
        await until(lambda: _has_open(client, 4))
    back_up(before, home, tmp_path / "b.tar")
    before.kill()

    restored = run_restore(tmp_path / "b.tar", "--answer-open")
    assert restored.exit_code == 0, restored.exception
    assert "4 questions were open." in restored.output
    after = started(home, make_valkey)
    chat.write("open 0", message_id=asked[0], at_s=time.time() - 30, thread="again")
    missed = chat.write("missed while it was down", at_s=time.time() - 30, thread="missed")
    async with served(chat, after, make_settings, by_a_worker=True):
        for message_id in (*asked, missed):
            await asyncio.to_thread(chat.wait_ended, message_id)
        await until(lambda: _all_acknowledged(chat))

    assert [len(chat.replies(message_id)) for message_id in (*asked, missed)] == [1] * 5


async def test_a_server_of_ones_own_that_was_loaded_again_is_settled_too(
    chat: FakeChat,
    make_settings: MakeSettings,
    make_valkey: Callable[[], ValkeyServer],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While a bot uses it that is refused; then what was open is closed there as well, and nothing comes twice."""
    server = make_valkey()
    monkeypatch.setenv("FENNEL_REDIS__URL", server.url)
    made = back_up_settings(home, tmp_path / "b.tar")
    async with (
        served(chat, server, make_settings, by_a_worker=False),
        redis.asyncio.Redis(unix_socket_path=str(server.socket), decode_responses=True) as client,
    ):
        asked = chat.write("open in the data that was loaded")
        await until(lambda: _has_open(client, 1))
        refused = await asyncio.to_thread(run_restore, tmp_path / "b.tar", "--settle-redis")
        assert await _has_open(client, 1)
    settled = run_restore(tmp_path / "b.tar", "--settle-redis")
    chat.write("again", message_id=asked, thread="again", at_s=time.time() - 30)
    async with served(chat, server, make_settings, by_a_worker=True):
        new = chat.write("new", thread="new", at_s=time.time() + 1)
        await asyncio.to_thread(chat.wait_ended, new)
        await until(lambda: _all_acknowledged(chat))

    assert "left out: Redis: it is a server of yours" in made
    assert "a bot uses this Redis" in str(refused.exception)
    assert settled.exit_code == 0, settled.exception
    assert "1 questions were open." in settled.output
    assert chat.replies(asked) == []


async def _has_open(client: redis.asyncio.Redis, count: int) -> bool:
    return bool(await client.zcard(names.open_key("chat")) == count)


async def _all_acknowledged(chat: FakeChat) -> bool:
    return not any(chat.threads.values())


def _texts(chat: FakeChat, message_id: str) -> list[str]:
    return [post.text for post in chat.replies(message_id)]
