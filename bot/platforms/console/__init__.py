"""A terminal as a group chat: several speakers, threads, mentions."""

from __future__ import annotations

import sys

from bot.platforms.console.platform import ConsolePlatform
from bot.platforms.console.screen import LineScreen, LiveScreen, Screen
from bot.platforms.console.transcript import Transcript
from bot.platforms.console.typist import typed_lines
from config.settings import Settings


def create(settings: Settings) -> ConsolePlatform:
    """The chat of this process's terminal; its memory is below the home folder."""
    name = settings.bot.name
    screen: Screen = LiveScreen(name) if sys.stdout.isatty() else LineScreen(name)
    transcript = Transcript(settings.home / "console" / "transcript.jsonl")
    return ConsolePlatform(name, transcript, screen, typed_lines(sys.stdin.fileno()))
