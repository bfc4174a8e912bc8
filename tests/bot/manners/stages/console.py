"""The console as a stage."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

from bot.platform import Platform, Reply
from bot.platforms.console.platform import ConsolePlatform
from bot.platforms.console.screen import LineScreen
from bot.platforms.console.transcript import Transcript
from config.settings import Settings
from tests.bot.manners.stage import Said, Stage


class Screen(LineScreen):
    """Remembers the newest look of each reply."""

    def __init__(self) -> None:
        super().__init__("fennel")
        self.replies: dict[str, Reply] = {}

    def show(self, reply_id: str, reply: Reply) -> None:
        """Remember it."""
        self.replies[reply_id] = reply

    def tell(self, text: str) -> None:
        """Nobody reads the terminal's own sentences here."""


class ConsoleStage(Stage):
    """The console, with somebody who types for everybody."""

    name, tenant = "console", "local"
    needs_fence = True

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._transcript = folder / "transcript.jsonl"
        self._said = 0
        self._screen = Screen()
        self._typed: asyncio.Queue[bytes] = asyncio.Queue()

    def platform(self, settings: Settings) -> Platform:
        """As `Stage.platform`."""
        return ConsolePlatform("fennel", Transcript(self._transcript), self._screen, self._lines())

    async def _lines(self) -> AsyncIterator[bytes]:
        while True:
            yield await self._typed.get()

    def say(self, text: str, person: str, channel: str, thread: Said | None = None, *, mention: bool = True) -> Said:
        """As `Stage.say`."""
        self._count += 1
        root = thread.root if thread else f"{channel}-{self._count}"
        # Every message of a channel begins a thread here as on other platforms, unless nobody is called.
        place = [f"/thread {root}"] if thread or mention else []
        self._type(f"/channel {channel}", *place, f"/as {person}")
        return self._write(f"@fennel {text}" if mention else text, channel, root if place else channel)

    def tell(self, text: str, person: str) -> Said:
        """As `Stage.tell`."""
        self._type("/channel", f"/as {person}", "/direct")
        return self._write(text, f"direct-{person}", f"direct-{person}")

    def _write(self, text: str, channel: str, thread: str) -> Said:
        self._type(text)
        self._said += 1
        return Said(channel, str(self._said), thread, text)

    def _type(self, *lines: str) -> None:
        for line in lines:
            self._typed.put_nowait(line.encode())

    def ends(self, said: Said) -> list[str]:
        """As `Stage.ends`."""
        lines = map(json.loads, self._transcript.read_text().splitlines())
        ids = [line["id"] for line in lines if line["kind"] == "said"]
        mine = ids[int(said.message_id) - 1 : int(said.message_id)]
        replies = self._screen.replies.values()
        return [one.whole for one in replies if one.outcome is not None and one.question.message_id in mine]

    def all_ends(self, said: Said) -> list[str]:
        """As `Stage.all_ends`."""
        replies = self._screen.replies.values()
        return [one.whole for one in replies if one.outcome is not None and one.question.thread == said.root]

    def judge(self, said: Said, person: str, good: bool) -> None:
        """As `Stage.judge`."""
        self.say("👍" if good else "👎", person, said.channel, said)
