"""The operators' tabs."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute

from bot.platforms.web.look import Look
from config.settings import Settings


class Tabs:
    """The tabs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def routes(self, look: Look) -> Sequence[BaseRoute]:
        """Where they are."""
        del look
        return []

    async def load(self) -> None:
        """Load."""

    async def close(self) -> None:
        """Close."""
