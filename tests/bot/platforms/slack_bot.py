"""A bot in a process of its own that kills itself at a delivery step."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from multiprocessing.context import ForkServerProcess

from bot.reply_slot import AtStep
from bot.run import run_bot
from config.settings import Settings
from tests.bot.platforms.slack_stage import slack_platform

# Bots are forked from a server that has imported this and begun nothing: each starts in milliseconds.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


def start_bot(settings: Settings, kill_at: str, nth: int = 1) -> ForkServerProcess:
    """Start a bot that dies by SIGKILL when it comes to a step for the nth time."""
    process = _context.Process(target=_serve, args=(settings, kill_at, nth), daemon=True)
    process.start()
    return process


def _serve(settings: Settings, kill_at: str, nth: int) -> None:
    asyncio.run(run_bot(slack_platform(settings), settings, asyncio.Event(), at_step=_killer(kill_at, nth), lease_s=1))


def _killer(kill_at: str, nth: int) -> AtStep:
    times = 0

    def at_step(step: str) -> None:
        nonlocal times
        times += step == kill_at
        if times == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    return at_step
