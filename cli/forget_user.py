"""`fennel forget-user`: remove what is kept of a person."""

from __future__ import annotations

import asyncio
import sys

import click
from redis.exceptions import RedisError

from config.loading import load_settings
from contract.errors import FennelError

FAILED = 1


@click.command(name="forget-user")
@click.argument("person", metavar="PLATFORM:TENANT:PERSON")
def forget_user(person: str) -> None:
    """Remove a person's questions, answers, turns, feedback and jobs, and stop what they asked.

    PERSON is the platform's id, as `@fennel status` tells it. Documents and the chat itself stay as they are.
    Exit code 1: an answer to them still waits to be shown; run it again when the bot has shown it.
    """
    from bot.forgetting import Forgetting
    from bot.redis_link import plain_client

    async def forget() -> None:
        async with plain_client(load_settings().redis_address) as redis:
            removed = await Forgetting(redis, person).run()
        click.echo(f"removed: {removed.questions} questions, {removed.turns} turns, {removed.feedback} feedback")
        if removed.unseen:
            click.echo(f"{removed.unseen} answers still wait to be shown; run this again when they are", err=True)
            sys.exit(FAILED)

    try:
        asyncio.run(forget())
    except RedisError as error:
        raise FennelError(f"Redis does not answer: {error}; `fennel up` starts it") from error
