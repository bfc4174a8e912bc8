"""Logging in to WeChat: a code in the terminal, and a token for nobody else to read."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import re
import sys
from pathlib import Path

import pytest

from bot.platform import LinkDeadError, NotConfiguredError, PlatformError
from bot.platforms.weixin import create
from bot.platforms.weixin.api import ILinkApi, trusted
from bot.platforms.weixin.platform import Weixin
from bot.platforms.weixin.session import Session, SessionFile
from bot.registry import create_platform
from config.environment import environment_with
from tests.bot.answering import answering
from tests.bot.conftest import MakeSettings, running_bot
from tests.bot.platforms.weixin.conftest import (
    TIMES,
    calls,
    linked_bot,
    log_in,
    login_at,
    mode_of,
    shown,
    when,
    write,
)
from tests.fakes.wecom import FakeWeCom
from tests.valkey import ValkeyServer


async def codes_shown(fake: FakeWeCom, count: int) -> None:
    """Wait until so many codes were asked for."""
    await when(fake, lambda: len(calls(fake, "get_bot_qrcode")) == count)


async def test_a_scanned_code_logs_in_and_the_token_is_for_nobody_else(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer
) -> None:
    """The code is drawn with its link, what the phone confirms is kept with mode 0600, and the bot answers."""
    settings, out = make_settings(), io.StringIO()
    sessions = SessionFile(settings.home / "weixin" / "session.json")
    platform = Weixin(sessions, login_at(fake, out), settings.redis_address, TIMES)
    async with running_bot(platform, settings), answering(valkey.address):
        await when(fake, lambda: calls(fake, "get_bot_qrcode"))
        await asyncio.to_thread(fake.do, "scan", status="scaned")
        await when(fake, lambda: "Confirm it on the phone" in out.getvalue())
        token = await asyncio.to_thread(fake.do, "scan")
        await write(fake)
        await shown(fake)
    assert re.search("[█▀▄]", out.getvalue())
    assert f"Or open {fake.url}/qr/" in out.getvalue()
    session = sessions.load()
    assert session == Session(token, fake.ilink.bot_id, fake.url)
    assert (mode_of(sessions.path), mode_of(sessions.path.parent)) == (0o600, 0o700)
    assert token not in out.getvalue()


async def test_a_login_is_kept_over_a_restart(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """A second start shows no code."""
    async with linked_bot(fake, make_settings()):
        await when(fake, lambda: calls(fake, "getupdates"))
    assert not calls(fake, "get_bot_qrcode")


async def test_a_code_that_expires_is_followed_by_another(fake: FakeWeCom) -> None:
    """A code that nobody scans in its time is replaced, and the next one can be scanned."""
    out = io.StringIO()
    logging_in = asyncio.create_task(login_at(fake, out).run())
    await when(fake, lambda: calls(fake, "get_bot_qrcode"))
    await asyncio.to_thread(fake.do, "skip", seconds=301)
    await when(fake, lambda: len(calls(fake, "get_bot_qrcode")) == 2)
    await asyncio.to_thread(fake.do, "scan")
    assert (await logging_in).bot_id == fake.ilink.bot_id
    assert out.getvalue().count("Scan this") == 2


async def test_nobody_who_scans_ends_the_login_with_a_sentence(fake: FakeWeCom) -> None:
    """After three codes without anybody the program does not wait for ever."""
    logging_in = asyncio.create_task(login_at(fake, io.StringIO()).run())
    for count in (1, 2, 3):
        await codes_shown(fake, count)
        await asyncio.to_thread(fake.do, "scan", status="expired")
    with pytest.raises(LinkDeadError, match="nobody confirmed the login"):
        await logging_in


async def test_a_stop_while_nobody_has_scanned_ends_the_bot(fake: FakeWeCom, make_settings: MakeSettings) -> None:
    """Ctrl-C at the code is a clean stop, and leaves no login behind."""
    settings = make_settings()
    sessions = SessionFile(settings.home / "weixin" / "session.json")
    platform = Weixin(sessions, login_at(fake, io.StringIO()), settings.redis_address, TIMES)
    async with running_bot(platform, settings):
        await when(fake, lambda: calls(fake, "get_bot_qrcode"))
    assert sessions.load() is None


async def test_digits_that_the_phone_shows_are_asked_for(fake: FakeWeCom) -> None:
    """Wrong digits are asked for again, right ones confirm the login."""
    given = iter(["11", "42"])
    prompts: list[str] = []

    async def ask(prompt: str) -> str:
        prompts.append(prompt)
        return next(given)

    logging_in = asyncio.create_task(login_at(fake, io.StringIO(), ask).run())
    await when(fake, lambda: calls(fake, "get_bot_qrcode"))
    await asyncio.to_thread(fake.do, "scan", status="need_verifycode", digits="42")
    assert (await logging_in).token == fake.ilink.token
    assert len(prompts) == 2


async def test_another_server_is_followed_if_it_is_tencents(fake: FakeWeCom) -> None:
    """A login that goes on at another server goes on; one that would leave Tencent's ends."""
    for host in ("", "evil.example"):
        logging_in = asyncio.create_task(login_at(fake, io.StringIO()).run())
        await codes_shown(fake, 2 if host else 1)
        await asyncio.to_thread(fake.do, "scan", status="scaned_but_redirect", digits=host)
        if host:
            with pytest.raises(PlatformError, match=r"not Tencent's \(evil\.example\)"):
                await logging_in
        else:
            await when(fake, lambda: len([1 for line in fake.journal if line.kind == "get_qrcode_status"]) >= 1)
            await asyncio.to_thread(fake.do, "scan")
            assert (await logging_in).base_url == fake.url


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("https://ilinkai.weixin.qq.com", True),
        ("https://szilink.weixin.qq.com", True),
        ("http://szilink.weixin.qq.com", False),
        ("https://weixin.qq.com.evil.example", False),
        ("https://evilweixin.qq.com", False),
        ("https://evil.example/.weixin.qq.com", False),
    ],
)
def test_only_tencents_servers_get_the_token(url: str, right: bool) -> None:
    """Whatever an answer names, the token goes to Tencent's servers over TLS, or to the one that was set."""
    if right:
        assert trusted(url, "https://ilinkai.weixin.qq.com") == url
        return
    with pytest.raises(PlatformError):
        trusted(url, "https://ilinkai.weixin.qq.com")


async def test_an_account_that_is_bound_to_another_bot_is_told(fake: FakeWeCom) -> None:
    """The phone has to let go of the other bot first."""
    logging_in = asyncio.create_task(login_at(fake, io.StringIO()).run())
    await when(fake, lambda: calls(fake, "get_bot_qrcode"))
    await asyncio.to_thread(fake.do, "scan", status="binded_redirect")
    with pytest.raises(LinkDeadError, match="bound to another bot"):
        await logging_in


async def test_a_server_that_gives_no_code_is_told(fake: FakeWeCom) -> None:
    """A login that cannot begin ends with a sentence."""
    login = login_at(fake, io.StringIO())
    login._base_url = "http://127.0.0.1:1"
    with pytest.raises(LinkDeadError, match="gives no code to log in with: WeChat cannot be reached"):
        await login.run()


def test_without_a_login_and_a_terminal_it_says_what_to_do(make_settings: MakeSettings) -> None:
    """Not switched on, it names the setting; not logged in, the command. Both leave the program without a fault."""
    with pytest.raises(NotConfiguredError, match="FENNEL_WEIXIN__ENABLED"):
        create_platform("weixin", make_settings())
    with pytest.raises(NotConfiguredError, match="python -m bot weixin"):
        create_platform("weixin", make_settings(weixin={"enabled": True}))


@pytest.mark.parametrize("content", ["", "[]", "{", '{"token": 3}', '{"token": "", "bot_id": "b", "base_url": "u"}'])
def test_a_broken_login_is_told(make_settings: MakeSettings, content: str) -> None:
    """Rubbish in the file is answered with what to do about it."""
    settings = make_settings()
    path = settings.home / "weixin" / "session.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(PlatformError, match="delete it and log in again"):
        create(settings)


def test_a_login_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """What a process that was killed left half-written does not matter, and the old login's mode does not either."""
    sessions = SessionFile(tmp_path / "weixin" / "session.json")
    sessions.save(Session("one", "b", "u"))
    sessions.path.chmod(0o644)
    sessions.path.with_suffix(".half").write_text('{"tok')
    sessions.save(Session("two", "b", "u"))
    assert sessions.load() == Session("two", "b", "u")
    assert mode_of(sessions.path) == 0o600


@pytest.mark.parametrize("when_asked", ["polling", "sending"])
async def test_a_login_that_is_over_ends_the_bot_with_a_sentence(
    fake: FakeWeCom, make_settings: MakeSettings, valkey: ValkeyServer, when_asked: str
) -> None:
    """Whether a poll or a message learns of it: the bot ends, the token is thrown away, the answer waits."""
    settings = make_settings()

    async def serve() -> None:
        async with linked_bot(fake, settings) as bot:
            await when(fake, lambda: calls(fake, "getupdates"))
            if when_asked == "polling":
                await asyncio.to_thread(fake.do, "expire_token")
                await asyncio.wait([bot], timeout=10)
            else:
                fake.fail("sendmessage", "ret", ret=-14)
                async with answering(valkey.address):
                    await write(fake)
                    await asyncio.wait([bot], timeout=10)

    with pytest.raises(LinkDeadError, match="run `python -m bot weixin` in a terminal and scan the code again"):
        await serve()
    assert SessionFile(settings.home / "weixin" / "session.json").load() is None
    if when_asked == "sending":
        log_in(fake, settings)
        async with linked_bot(fake, settings):
            (answer,) = await shown(fake)
        assert answer.content.startswith("You asked")


async def test_from_the_command_line(fake: FakeWeCom, valkey: ValkeyServer, tmp_path: Path) -> None:
    """`python -m bot weixin` in a terminal draws the code, answers, and ends with 1 and a sentence when logged out."""
    env = environment_with(
        FENNEL_WEIXIN__ENABLED="true",
        FENNEL_WEIXIN__BASE_URL=fake.url,
        FENNEL_REDIS__URL=valkey.url,
        FENNEL_HOME=str(tmp_path),
        TERM="xterm",
    )
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "weixin", env=env, stdin=theirs, stdout=theirs, stderr=asyncio.subprocess.PIPE
    )
    try:
        os.close(theirs)
        await when(fake, lambda: calls(fake, "get_bot_qrcode"), 30)
        await asyncio.to_thread(fake.do, "scan")
        async with answering(valkey.address):
            await write(fake)
            await shown(fake)
        await asyncio.to_thread(fake.do, "expire_token")
        _none, told = await asyncio.wait_for(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
        screen = os.read(ours, 65_536).decode(errors="replace")
        os.close(ours)
    assert process.returncode == 1
    assert "WeChat has ended this login" in told.decode().strip().splitlines()[-1]
    assert "█" in screen
    assert "Logged in." in screen


async def test_a_call_tells_who_calls(fake: FakeWeCom) -> None:
    """Each call carries the headers of the protocol, and the name of Fennel."""
    fake.ilink.token = "t"
    api = ILinkApi(fake.url, "t")
    try:
        assert (await api.post("getconfig", {"ilink_user_id": "u"}))["ret"] == 0
    finally:
        await api.close()
    (body,) = calls(fake, "getconfig")
    assert body["base_info"]["channel_version"] == "2.4.9"
    assert body["base_info"]["bot_agent"].startswith("Fennel/")
