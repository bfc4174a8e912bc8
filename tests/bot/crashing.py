"""Bots that die at a step of the delivery, and what has to be true when the next one is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import redis.asyncio

from contract import names
from contract.question import Question

STEPS = [
    "an end is read",
    "before sending is written down",
    "sending is written down",
    "sent, and not written down",
    "sent, and written down",
    "before an edit",
    "edited",
    "before the end is written down",
    "the end is written down",
]
"""The places at which `bot.reply_slot` and `bot.delivery` call `at_step`."""


class Crash(BaseException):
    """The process dies here: nothing catches it."""


def crash_at(wanted: str) -> Callable[[str], None]:
    """Die the first time this step is reached."""

    def at_step(step: str) -> None:
        if step == wanted:
            raise Crash(step)

    return at_step


async def nothing_is_open(client: redis.asyncio.Redis, platform: str) -> bool:
    """Whether every question of the platform was shown, and its entry has left the stream."""
    is_open = await client.zcard(names.open_key(platform))
    return not is_open and not await client.xlen(names.answers_stream(platform))


async def is_growing_or_dead(client: redis.asyncio.Redis, question: Question, bot: asyncio.Task[None]) -> bool:
    """Whether the growing text is written down as sent, or the process is gone."""
    return bot.done() or await client.hget(names.delivery_key(question.id), "state") == "sent"
