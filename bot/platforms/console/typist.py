"""What people type: lines from the terminal, and what each of them means."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass

READ_BYTES = 65_536
MAX_LINE_BYTES = 2**20

CHANNEL = "terminal"
HELP = (
    "/as NAME       go on as somebody else\n"
    "/thread NAME   go on in a thread; /thread alone goes back to the channel\n"
    "/channel NAME  go on in another channel; /channel alone goes back to the first\n"
    "/direct        go on alone with the bot, where nobody else reads\n"
    "/help          this help\n"
    "Ctrl-D        leave, when the open questions are answered"
)
_NAME = re.compile(r"[\w.-]{1,40}")


@dataclass(frozen=True, slots=True)
class Said:
    """A line for everybody to read, without the mention of the bot."""

    text: str
    mentions_us: bool


@dataclass(frozen=True, slots=True)
class Told:
    """What the terminal answers to a command."""

    text: str


class Typist:
    """Whoever sits at the terminal: who they are just now, and where."""

    def __init__(self, bot_name: str) -> None:
        self.speaker = "you"
        self.channel = CHANNEL
        self.thread = CHANNEL
        self.is_direct = False
        self._mention = re.compile(rf"@{re.escape(bot_name)}(?!\w)[,:，：]?", re.IGNORECASE)

    @property
    def prompt(self) -> str:
        """Who speaks where."""
        return f"{self.speaker}> " if self.thread == CHANNEL else f"{self.speaker} [{self.thread}]> "

    def _go_to(self, channel: str, *, is_direct: bool = False) -> None:
        self.channel = self.thread = channel
        self.is_direct = is_direct

    def take(self, line: str) -> Said | Told | None:
        """What the line means; None for an empty one."""
        if not line.strip():
            return None
        if line.startswith("/"):
            return Told(self._obey(*line[1:].split()[:2]))
        text, mentions = self._mention.subn("", line)
        return Said(text.strip(), mentions > 0)

    def _obey(self, command: str = "", name: str = "") -> str:
        if name and not _NAME.fullmatch(name):
            return "A name has up to 40 letters, digits, dots and dashes."
        if command == "as" and name:
            self.speaker = name
            if self.is_direct:
                # Nobody takes over another's direct chat.
                self._go_to(CHANNEL)
            return f"You are {name} now."
        if command == "channel":
            self._go_to(name or CHANNEL)
            return f"You are in the channel {self.channel} now."
        if command == "direct":
            self._go_to(f"direct-{self.speaker}", is_direct=True)
            return "You are alone with me now."
        if command == "thread":
            self.thread = name or self.channel
            return f"You are in the thread {name} now." if name else "You are in the channel again."
        return HELP


async def typed_lines(descriptor: int) -> AsyncIterator[bytes]:
    """The lines of a file descriptor until its end, without their line ends; a line of over 1 MiB is cut in pieces.

    A thread reads them: a loop cannot wait for a terminal and for a file alike.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes | None] = asyncio.Queue()

    def read() -> None:
        rest = b""
        # At the end of the process the loop is gone before this thread is.
        with contextlib.suppress(RuntimeError):
            # os.read: a thread that is blocked in sys.stdin would hold its lock when the interpreter ends.
            while chunk := os.read(descriptor, READ_BYTES):
                *whole, rest = (rest + chunk).split(b"\n")
                if len(rest) > MAX_LINE_BYTES:
                    whole, rest = [*whole, rest], b""
                for line in whole:
                    loop.call_soon_threadsafe(lines.put_nowait, line)
            if rest:
                loop.call_soon_threadsafe(lines.put_nowait, rest)
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, name="typed lines", daemon=True).start()
    while (line := await lines.get()) is not None:
        yield line
