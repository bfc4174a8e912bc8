"""``python -m tests.bot.platforms.slack_bot --kill-at STEP --nth N``: a bot that kills itself at a delivery step."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

from bot.reply_slot import AtStep
from bot.run import run_bot
from config.settings import load_settings
from tests.bot.platforms.slack_stage import slack_platform


def killer(kill_at: str, nth: int) -> AtStep:
    """What kills this process with SIGKILL when it comes to a step for the nth time."""
    times = 0

    def at_step(step: str) -> None:
        nonlocal times
        times += step == kill_at
        if times == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    return at_step


async def _serve(kill_at: str, nth: int) -> None:
    settings = load_settings()
    await run_bot(slack_platform(settings), settings, asyncio.Event(), at_step=killer(kill_at, nth), lease_s=1.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kill-at", required=True)
    parser.add_argument("--nth", type=int, default=1)
    options = parser.parse_args()
    asyncio.run(_serve(options.kill_at, options.nth))
    sys.exit(1)
