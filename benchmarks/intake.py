"""What taking a message in costs: ``python -m benchmarks.intake``.

The filters, and the one round trip to Redis in which a message is let in: whether it is known, whether the thread is
ours, what admins have set, three token buckets. A real Valkey in memory and over a unix socket, as on one machine.
Beside it stands the bare round trip: the same client that asks for one key.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio
import redis.asyncio as aioredis

from benchmarks.report import print_table, write_results
from bot.access import Access
from bot.admission import Admissions
from bot.channel_rules import ChannelRules
from bot.chat_message import ChatMessage
from bot.command import command_of
from bot.intake import Facts, Intake, IntakeLimits
from config.loading import load_settings
from config.settings import Settings
from contract.question import question_id
from tests.valkey import ValkeyServer

MESSAGES = 5_000
QUESTION = "How many days off do I have in my first year, and who has to agree? " * 2


class Desk:
    """Everything that the reception does with a message before it is queued."""

    def __init__(self, settings: Settings, client: aioredis.Redis) -> None:
        access, rules = Access(settings.access), ChannelRules(settings.channel, settings.channels)
        self._intake = Intake(IntakeLimits(settings.queue.answer_ttl_s, access=access, channels=rules))
        self._admissions = Admissions(client, settings.limits)
        self._numbers = itertools.count()

    def message(self, **changes: Any) -> ChatMessage:
        """A mention by one of many people in one of many groups."""
        number = next(self._numbers)
        values: dict[str, Any] = {
            "platform": "chat",
            "tenant": "t",
            "channel": f"c{number % 50}",
            "thread": f"m{number}",
            "message_id": f"m{number}",
            "sender": f"u{number % 500}",
            "sender_name": "Ann",
            "text": QUESTION,
            "at_s": time.time(),
            "mentions_us": True,
        }
        return ChatMessage(**(values | changes))

    async def for_others(self) -> None:
        """A message that does not mention us."""
        self._intake.decide(self.message(mentions_us=False), Facts(time.time()))

    async def mention(self) -> None:
        """A question."""
        await self._let_in(self.message(), in_doubt=False)

    async def follow_up(self) -> None:
        """A message in a thread, which may be ours."""
        await self._let_in(self.message(mentions_us=False, thread="m0"), in_doubt=True)

    async def _let_in(self, message: ChatMessage, *, in_doubt: bool) -> None:
        self._intake.decide(message, Facts(time.time(), thread_is_ours=True))
        command_of(message.text)
        asked = question_id(message.platform, message.tenant, message.channel, message.message_id)
        admission = await self._admissions.ask(message, asked, in_doubt=in_doubt, is_free=False)
        self._intake.decide(message, Facts(time.time(), True, admission=admission))


async def measure(work: Callable[[], Awaitable[Any]]) -> tuple[list[float], float]:
    """Milliseconds of each of many calls, one after another, and of the processor's time for one of them."""
    for _ in range(MESSAGES // 10):
        await work()
    gc.collect()
    gc.disable()
    times: list[float] = []
    cpu_s = time.process_time()
    try:
        for _ in range(MESSAGES):
            start_s = time.perf_counter()
            await work()
            times.append(1_000 * (time.perf_counter() - start_s))
    finally:
        gc.enable()
    return times, 1_000 * (time.process_time() - cpu_s) / MESSAGES


async def run() -> dict[str, dict[str, float]]:
    """All figures."""
    server = ValkeyServer()
    server.start()
    try:
        async with redis.asyncio.Redis.from_url(server.url, decode_responses=True) as client:
            # How long a disk takes to confirm a write is the disk's affair.
            await client.config_set("appendonly", "no")
            desk = Desk(load_settings(), client)
            works: dict[str, Callable[[], Awaitable[Any]]] = {
                "not for us": desk.for_others,
                "mention": desk.mention,
                "follow-up": desk.follow_up,
                "baseline: one key": lambda: client.exists("fennel:question:none"),
            }
            return {name: figures(*await measure(work)) for name, work in works.items()}
    finally:
        server.remove()


def figures(times_ms: list[float], cpu_ms: float) -> dict[str, float]:
    """Percentiles in milliseconds, and the processor's time of one message, which a busy machine changes least."""
    cuts = statistics.quantiles(times_ms, n=1_000)
    return {"p50_ms": cuts[499], "p99_ms": cuts[989], "p999_ms": cuts[998], "cpu_ms": cpu_ms}


def main() -> None:
    """Measure, print the table and write the figures."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    found = asyncio.run(run())
    rows = [[name, *(f"{one:.3f}" for one in row.values())] for name, row in found.items()]
    print_table("Intake of a message", ["message", "p50 ms", "p99 ms", "p99.9 ms", "CPU ms"], rows)
    write_results("intake", {"messages": MESSAGES, "figures": found})


if __name__ == "__main__":
    main()
