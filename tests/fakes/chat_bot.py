"""``python -m tests.fakes.chat_bot --url URL``: a bot like any other, on the made-up chat platform.

It kills itself with SIGKILL between two steps of a delivery, as often as it is told to, or stands still at one of them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys

from bot.lock import MARGIN
from bot.reply_slot import AtStep, go_on
from bot.run import run_bot
from config.loading import load_settings
from config.logging import configure_logging
from config.redis_users import Role
from contract.errors import FennelError
from tests.fakes.chat_platform import ChatPlatform


def self_killer(probability: float, seed: int | None) -> AtStep:
    """What kills this process at a step with this probability."""
    if not probability:
        return go_on
    chance = random.Random(seed)

    def at_step(step: str) -> None:
        if chance.random() < probability:
            print(f"self-kill: {step}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    return at_step


def self_freezer(where: str) -> AtStep:
    """What stops this process with SIGSTOP when it first comes to this step; somebody has to wake it."""
    frozen = False

    def at_step(step: str) -> None:
        nonlocal frozen
        if step == where and not frozen:
            frozen = True
            print(f"frozen: {step}", flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)

    return at_step


async def _serve(options: argparse.Namespace) -> None:
    settings = load_settings(Role.BOT)
    configure_logging(settings.log)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    platform = ChatPlatform(
        options.url,
        resolve=options.resolve,
        thinks_at_once=options.thinks_at_once,
        give_up_s=options.lease_s * MARGIN,
    )
    at_step = self_freezer(options.freeze_at) if options.freeze_at else self_killer(options.self_kill, options.seed)
    await run_bot(platform, settings, stop, at_step=at_step, lease_s=options.lease_s)


def main() -> int:
    """Read the command line and serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.chat_bot", description=__doc__)
    parser.add_argument("--url", required=True, help="where the made-up platform is")
    parser.add_argument(
        "--resolve", choices=["history", "key"], default="history", help="how a broken send is resolved"
    )
    parser.add_argument("--thinks-at-once", action="store_true", help="show that we think before a worker begins")
    parser.add_argument("--self-kill", type=float, default=0.0, help="probability of a SIGKILL at each step")
    parser.add_argument("--seed", type=int, default=None, help="which steps; by default another one each time")
    parser.add_argument("--freeze-at", default="", help="the step at which to stand still")
    parser.add_argument("--lease-s", type=float, default=15.0, help="how long the account stays ours unheard of")
    options = parser.parse_args()
    try:
        asyncio.run(_serve(options))
    except FennelError as error:
        print(f"{error}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
