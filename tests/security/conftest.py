"""What these tests share with those of the bots."""

from __future__ import annotations

from tests.bot.conftest import make_settings

__all__ = ["make_settings"]
