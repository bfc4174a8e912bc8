"""``python -m bot PLATFORM``: serve one chat platform."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import signal
import subprocess
import sys
import time
from pathlib import Path

from bot.health import BotHealth
from bot.platform import LinkTakenError, NotConfiguredError
from bot.registry import PLATFORMS, create_platform
from bot.run import run_bot
from config.environment import CHECKOUT, supervised_program
from config.loading import load_settings
from config.logging import configure_logging
from config.redis_users import Role
from config.settings import Settings
from contract.errors import FennelError
from health.backoff import pause_s
from health.parent import end_with_parent
from health.server import HealthServer
from health.tracing import start_tracing

STANDALONE = "cli.standalone"
"""Named and not imported: a bot knows no command."""
LINK_TAKEN = 3
"""supervisord does not start a program anew that ends with this code."""


def main(arguments: list[str] | None = None) -> int:
    """Run the bot named on the command line; returns 0 after a clean stop, or where the platform is not set up."""
    parser = argparse.ArgumentParser(prog="python -m bot", description=__doc__)
    parser.add_argument("platform", help=f"one of: {', '.join(PLATFORMS)}")
    parser.add_argument("--standalone", action="store_true", help="start Redis and a worker too, and stop them after")
    options = parser.parse_args(arguments)
    platform_name: str = options.platform
    if options.standalone:
        return _run_standalone(platform_name)
    if supervised_program():
        end_with_parent()
    try:
        settings = load_settings(Role.BOT)
        settings.make_folders()
        _start_logging(platform_name, settings)
        return _run(platform_name, settings)
    except FennelError as error:
        print(f"fennel: {error.told}", file=sys.stderr)
        return 1


def _run_standalone(platform_name: str) -> int:
    """Everything in this terminal: in a program of its own, so that nothing of this process reaches the model.

    This process may have touched torch or CUDA, if somebody calls `main` from theirs; a fresh program has not.
    """
    # Ctrl-C reaches the whole terminal: the other one acts on it, and this one waits for it.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with subprocess.Popen([sys.executable, "-m", STANDALONE, platform_name], cwd=CHECKOUT) as everything:
            signal.signal(signal.SIGTERM, lambda *_: everything.terminate())
            return everything.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def _run(platform_name: str, settings: Settings) -> int:
    """Serve the platform, and tell how that goes; returns the exit code. Raises HealthError."""
    program = supervised_program() or f"bot_{platform_name}"
    start_tracing(settings, program)
    health = BotHealth(platform_name, program, settings)
    server = HealthServer(program, settings, health.is_alive, health.findings)
    with server if platform_name != "console" else contextlib.nullcontext():
        try:
            asyncio.run(_serve(platform_name, settings, health))
        except NotConfiguredError as error:
            print(f"fennel: {error.told}", file=sys.stderr)
        except FennelError as error:
            print(f"fennel: {error.told}", file=sys.stderr)
            pause = pause_s(health.fail(error))
            if isinstance(error, LinkTakenError):
                return LINK_TAKEN
            if supervised_program():
                # supervisord starts it again at once, and a platform takes hammering amiss; /readyz tells why.
                time.sleep(pause)
            return 1
        health.clear()
        return 0


async def _serve(platform_name: str, settings: Settings, health: BotHealth) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    health.watch(loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    platform = create_platform(platform_name, settings, by_hand=not supervised_program())
    # What was imported stays: without looking at all of it again, a collection costs an event no tens of milliseconds.
    gc.freeze()
    await run_bot(platform, settings, stop)


def _start_logging(platform_name: str, settings: Settings) -> None:
    """Log to standard error, which supervisord keeps; in a terminal chat, to a file, so that people can read."""
    if platform_name != "console":
        configure_logging(settings.log, secrets=settings.secrets)
        return
    path: Path = settings.logs_folder / "bot-console.log"
    configure_logging(settings.log, path.open("a", encoding="utf-8", errors="replace"), settings.secrets)


if __name__ == "__main__":
    sys.exit(main())
