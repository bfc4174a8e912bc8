"""A terminal as a group chat."""

from __future__ import annotations

import asyncio
import io
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio
from rich.console import Console

from bot import rendering
from bot.chat_event import ChatEvent
from bot.inbox import InboxError
from bot.platforms.console.platform import ConsolePlatform
from bot.platforms.console.screen import LineScreen, LiveScreen
from bot.platforms.console.transcript import KEEP_BYTES, Transcript
from bot.platforms.console.typist import CHANNEL, Said, Told, Typist, typed_lines
from contract import names
from tests.bot.answering import answering, echo
from tests.bot.conftest import MakeSettings, make_question, running_bot
from tests.valkey import ValkeyServer


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hello", Said("hello", mentions_us=False)),
        ("@fennel how many?", Said("how many?", mentions_us=True)),
        ("@Fennel, how many?", Said("how many?", mentions_us=True)),
        ("tell us @fennel", Said("tell us", mentions_us=True)),
        ("@fennel：几天？", Said("几天？", mentions_us=True)),
        ("@fennelicious", Said("@fennelicious", mentions_us=False)),
        ("", None),
        ("   ", None),
    ],
)
def test_what_a_line_means(line: str, expected: Said | None) -> None:
    """A mention of the bot is recognised and taken out; an empty line means nothing."""
    assert Typist("fennel").take(line) == expected


def test_commands_change_who_speaks_and_where() -> None:
    """/as and /thread are for the terminal alone, and anything else with a slash is answered with help."""
    typist = Typist("fennel")
    assert typist.prompt == "you> "
    assert isinstance(typist.take("/as alice"), Told)
    assert isinstance(typist.take("/thread holidays"), Told)
    assert (typist.speaker, typist.thread, typist.prompt) == ("alice", "holidays", "alice [holidays]> ")
    typist.take("/as ../../x y")
    assert typist.speaker == "alice"
    typist.take("/thread")
    assert typist.thread == CHANNEL
    told = typist.take("/what")
    assert isinstance(told, Told)
    assert "/as NAME" in told.text


def test_the_transcript_is_remembered_over_a_restart(tmp_path: Path) -> None:
    """A reply is found again by a new process, only its owner may read the file, and a torn line is passed over."""
    path = tmp_path / "console" / "transcript.jsonl"
    first = Transcript(path)
    reply_id = first.replied("q-1", "text", "answered")
    with path.open("a") as file:
        file.write('{"kind": "replied", "question_id": "q-2", "id"')
    again = Transcript(path)
    assert again.reply_id("q-1") == reply_id
    assert again.reply_id("q-2") is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_long_transcript_is_put_aside(tmp_path: Path) -> None:
    """The file does not grow for ever."""
    path = tmp_path / "transcript.jsonl"
    path.write_bytes(b"\n" * (KEEP_BYTES + 1))
    Transcript(path)
    assert path.stat().st_size == 0
    assert path.with_suffix(".old.jsonl").stat().st_size > KEEP_BYTES


async def test_lines_come_whole_from_a_pipe() -> None:
    """Bytes are cut into lines wherever a write ends, and the last line needs no end."""
    reading, writing = os.pipe()
    os.write(writing, b"one\ntw")
    os.write(writing, b"o\n\xff\nlast")
    os.close(writing)
    assert [line async for line in typed_lines(reading)] == [b"one", b"two", b"\xff", b"last"]
    os.close(reading)


def test_plain_lines_show_a_notice_once_and_the_end() -> None:
    """In a pipe nothing is redrawn: that we think is said once, growing text not at all, the end whole."""
    out = io.StringIO()
    screen = LineScreen("fennel", Console(file=out, width=200))
    question = make_question(platform="console", thread="t1", asker_name="alice")
    for reply in (
        rendering.thinking(question),
        rendering.thinking(question),
        rendering.growing(question, "You asked"),
        rendering.ended(question, echo(question)),
    ):
        screen.show("r-1", reply)
    assert out.getvalue() == (
        "fennel → alice [t1]: Thinking…\n"
        f"fennel → alice [t1]: You asked: {question.text}\n"
        "Sources:\n[1] Holidays — handbook/holidays.md\n"
    )


def test_a_terminal_redraws_and_leaves_the_end() -> None:
    """On a terminal the growing text is drawn and taken away again; what the model writes is never markup."""
    out = io.StringIO()
    screen = LiveScreen("fennel", Console(file=out, width=200, force_terminal=True, color_system=None))
    question = make_question(platform="console", thread=CHANNEL, text="[bold]?")
    screen.ask("you> ")
    screen.show("r-1", rendering.growing(question, "You [red]as"))
    screen.show("r-1", rendering.ended(question, echo(question)))
    screen.close()
    shown = out.getvalue()
    assert "You [red]as" in shown
    assert shown.count("You asked: [bold]?") == 1
    assert shown.endswith("you> ")
    erase_line = "\x1b[2K"
    assert shown.index("You [red]as") < shown.index(erase_line) < shown.index("You asked: [bold]?")


async def lines(*texts: bytes) -> AsyncIterator[bytes]:
    """What is typed."""
    for text in texts:
        yield text


def console(tmp_path: Path, out: io.StringIO, *typed: bytes) -> ConsolePlatform:
    """A console with these lines typed and an end of input behind them."""
    screen = LineScreen("fennel", Console(file=out, width=200))
    return ConsolePlatform("fennel", Transcript(tmp_path / "transcript.jsonl"), screen, lines(*typed))


async def test_a_chat_in_a_terminal(
    make_settings: MakeSettings, valkey: ValkeyServer, tmp_path: Path, redis_client: redis.asyncio.Redis
) -> None:
    """Questions of several speakers are answered, others' talk is not, and the end of input waits for the answers."""
    out = io.StringIO()
    typed = [
        b"nobody asked you",
        b"@fennel one",
        b"/as bob",
        b"/thread t1",
        b"@fennel \xe4\xba\x8c",
        b"\xff\xfe",
        b"@fennel " + b"x" * 100_000,
    ]
    async with running_bot(console(tmp_path, out, *typed), make_settings()) as bot, answering(valkey.address):
        await asyncio.wait([bot], timeout=10)
        assert bot.done()
    shown = out.getvalue()
    assert "fennel → you: You asked: one\n" in shown
    assert "fennel → bob [t1]: You asked: 二\n" in shown
    assert "not UTF-8" in shown
    assert "at most 4000 characters" in shown
    assert "nobody" not in shown
    assert not await redis_client.zcard(names.open_key("console"))


async def test_a_line_that_is_not_taken_in_is_told(tmp_path: Path) -> None:
    """When Redis is away the person at the terminal learns that the line was not asked."""

    async def refuse(_event: ChatEvent) -> None:
        raise InboxError("Redis took nothing in")

    out = io.StringIO()
    await console(tmp_path, out, b"@fennel one").listen(refuse)
    assert "please write it again: Redis took nothing in." in out.getvalue()
