"""The bot's health: its link, an engine that answers, Redis, the disk."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError

from bot.link import link_of
from config.settings import Settings
from contract.errors import FennelError
from contract.finding import Finding
from health import surroundings
from health.last_error import note_error, note_well
from health.surroundings import Surroundings

LOOP_ANSWERS_WITHIN_S = 5.0


class BotHealth:
    """What `/healthz` and `/readyz` of a bot say; asked in the health server's threads."""

    def __init__(self, platform: str, program: str, settings: Settings) -> None:
        self._platform = platform
        self._program = program
        self._settings = settings
        self._surroundings = Surroundings(settings)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error = ""
        link_of(platform).on_up = self.clear

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """The bot's loop runs from now on; while it is stuck, the bot is not alive."""
        self._loop = loop

    def fail(self, error: FennelError) -> int:
        """The bot is about to end because of this; returns how often in a row it has."""
        self._error = str(error)
        return note_error(self._settings, self._program, self._error).count

    def clear(self) -> None:
        """The bot is well again, or was stopped."""
        note_well(self._settings, self._program)

    def is_alive(self) -> bool:
        """Whether the bot's loop turns."""
        if self._loop is None or self._loop.is_closed():
            return not self._error
        turn = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), self._loop)
        try:
            turn.result(LOOP_ANSWERS_WITHIN_S)
        except (TimeoutError, CancelledError):
            return False
        return True

    def findings(self) -> list[Finding]:
        """How everything stands that it needs to answer people."""
        link = link_of(self._platform).finding()
        if self._error:
            link = Finding("link", False, self._error, f"fennel doctor {self._platform}")
        around = self._surroundings
        return [link, surroundings.disk(self._settings), around.redis(), around.engine()]
