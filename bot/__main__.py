"""``python -m bot PLATFORM``: serve one chat platform."""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import sys
import time
from pathlib import Path

import structlog

from bot.platform import LinkTakenError, NotConfiguredError
from bot.registry import PLATFORMS, create_platform
from bot.run import run_bot
from config.logging import configure_logging
from config.settings import Settings, load_settings, supervised_program
from contract.errors import FennelError

PAUSE_BEFORE_RESTART_S = 5.0
LINK_TAKEN = 3
"""supervisord does not start a program anew that ends with this code."""

log = structlog.get_logger(__name__)


def main(arguments: list[str] | None = None) -> int:
    """Run the bot named on the command line; returns 0 after a clean stop, or where the platform is not set up."""
    parser = argparse.ArgumentParser(prog="python -m bot", description=__doc__)
    parser.add_argument("platform", help=f"one of: {', '.join(PLATFORMS)}")
    platform_name: str = parser.parse_args(arguments).platform
    try:
        settings = load_settings()
        settings.make_folders()
        _start_logging(platform_name, settings)
        asyncio.run(_serve(platform_name, settings))
    except NotConfiguredError as error:
        print(f"{error}.", file=sys.stderr)
        return 0
    except LinkTakenError as error:
        print(f"{error}.", file=sys.stderr)
        return LINK_TAKEN
    except FennelError as error:
        print(f"{error}.", file=sys.stderr)
        if supervised_program():
            # supervisord starts it again at once, and a platform takes hammering amiss.
            time.sleep(PAUSE_BEFORE_RESTART_S)
        return 1
    return 0


async def _serve(platform_name: str, settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    platform = create_platform(platform_name, settings)
    # What was imported stays: without looking at all of it again, a collection costs an event no tens of milliseconds.
    gc.freeze()
    await run_bot(platform, settings, stop)


def _start_logging(platform_name: str, settings: Settings) -> None:
    """Log to standard error, which supervisord keeps; in a terminal chat, to a file, so that people can read."""
    if platform_name != "console":
        configure_logging(settings.log)
        return
    path: Path = settings.logs_folder / "bot-console.log"
    configure_logging(settings.log, path.open("a", encoding="utf-8", errors="replace"))


if __name__ == "__main__":
    sys.exit(main())
