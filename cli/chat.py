"""`fennel chat`: a terminal as a group chat."""

from __future__ import annotations

import asyncio
import sys

import click

from bot.__main__ import main
from bot.redis_link import plain_client
from cli.running import NothingRunningError, check_running
from config.loading import load_settings

NOTHING_RUNNING = 5


@click.command()
def chat() -> None:
    """A terminal as a group chat."""
    try:
        asyncio.run(_check())
    except NothingRunningError as error:
        click.echo(f"fennel: {error.told}", err=True)
        sys.exit(NOTHING_RUNNING)
    sys.exit(main(["console"]))


async def _check() -> None:
    async with plain_client(load_settings().redis_address) as client:
        await check_running(client)
