"""How many bots and workers and how much Redis a load takes: ``python -m benchmarks.scale``.

A simulation, event by event: messages come at random to bots, questions among them wait for a place at a worker. What
a message, a question and an answer cost is measured first, on a real server and with the real inbox; two points that
the simulation also foretells are measured beside it: how long a real worker takes for a burst, and what Redis holds
after four times as many questions. Nothing here runs the language model: how long an answer takes is a flag.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import redis
import redis.asyncio
import structlog

from benchmarks.report import RESULTS, print_table, write_results
from bot.inbox import Inbox
from bot.redis_link import patient_client
from config.loading import load_settings
from contract.question import Question
from tests.bot.answering import echo, finish
from tests.valkey import ValkeyServer
from tests.workers.questions import ask, make_question, wait_for_finals
from tests.workers.scripted_worker import WorkerThread

BURST, BURST_ANSWER_S, BURST_PLACES = 80, 0.2, 8
SAMPLE = 1_000
WARM_UP = 200
"""Questions before the first look at the memory: what the server holds once is no cost of a question."""
BUSY = 0.6
"""The share of a core that a bot may have to do, and of its places that a worker may use on the average."""


Times = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Costs:
    """What was measured: CPU of the bot in ms, and bytes in Redis."""

    question_ms: float
    waiting_bytes: float
    kept_bytes: float


async def measure_inbox(server: ValkeyServer, count: int) -> Costs:
    """Take so many questions in, and end them: their answers stand in the stream, as they later do in the history."""
    settings = load_settings()
    questions = [_question(number) for number in range(count)]
    earlier = [_question(count + number) for number in range(WARM_UP)]
    async with patient_client(server.address) as client:
        inbox = Inbox(client, max_queued=10**9, job_timeout_s=settings.worker.job_timeout_s)
        for question in earlier:
            await inbox.accept(question)
            await finish(client, echo(question))
        empty = await _used(client)
        began_s = time.process_time()
        for question in questions:
            await inbox.accept(question)
        question_ms = 1000 * (time.process_time() - began_s) / count
        waiting = await _used(client)
        for question in questions:
            await finish(client, echo(question))
            await client.delete(f"rq:job:{question.id}")  # kept for an hour; the day is what counts
        kept = await _used(client)
    return Costs(question_ms, (waiting - empty) / count, (kept - empty) / count)


async def _used(client: redis.asyncio.Redis) -> int:
    return int((await client.info("memory"))["used_memory"])


def _question(number: int) -> Question:
    return replace(make_question("How many days off do I have in my first year? " * 3), id=f"q-{number:032x}")


def measure_burst(server: ValkeyServer) -> float:
    """Seconds that a real worker takes for the burst."""
    with redis.Redis(unix_socket_path=str(server.socket)) as connection:
        for number in range(BURST):
            ask(connection, f"sleep:{BURST_ANSWER_S}", thread=f"t{number}")
        began_s = time.monotonic()
        with WorkerThread(server.url, "worker_0", max_in_flight=BURST_PLACES):
            wait_for_finals(connection, BURST)
            return time.monotonic() - began_s


def waits_s(arrivals_s: Times, answer_s: Times, places: int) -> Times:
    """How long each question waits for one of so many places; first come, first served."""
    free_s = [0.0] * places
    found = np.empty(len(arrivals_s))
    for number, (at_s, takes_s) in enumerate(zip(arrivals_s, answer_s, strict=True)):
        begins_s = max(at_s, heapq.heappop(free_s))
        found[number] = begins_s - at_s
        heapq.heappush(free_s, begins_s + takes_s)
    return found


def simulate(options: argparse.Namespace, costs: Costs, chance: np.random.Generator) -> dict[str, float]:
    """Bots and workers that carry the load, and what Redis holds."""
    span_s = 60 * options.minutes
    count = chance.poisson(options.channels * options.messages * options.minutes)
    arrivals_s = np.sort(chance.uniform(0, span_s, count))
    asked_s = arrivals_s[chance.random(count) < options.questions]
    cpu_ms = len(asked_s) * options.shown_ms + (count - len(asked_s)) * options.other_ms
    bots = max(1, int(np.ceil(cpu_ms / 1000 / span_s / BUSY)))
    answer_s = chance.gamma(4.0, options.answer_s / 4.0, len(asked_s))
    load = answer_s.sum() / span_s
    workers = max(1, int(load // options.places))
    while True:
        found = waits_s(asked_s, answer_s, workers * options.places)
        if np.quantile(found, 0.95) <= options.wait_s:
            break
        workers += 1
    a_minute = len(asked_s) / options.minutes
    a_day = a_minute * 60 * options.hours
    waiting = float(found.mean() * len(asked_s) / span_s + load)
    memory = a_day * costs.kept_bytes + waiting * costs.waiting_bytes
    return {
        "messages a second": count / span_s,
        "questions a minute": a_minute,
        "bots (cores)": bots,
        "workers": workers,
        "places in use": load,
        "wait p95 s": float(np.quantile(found, 0.95)),
        "Redis MB at the end of a day": memory / 1e6,
        "bot cores per 1,000 questions a minute": cpu_ms / 1000 / span_s / a_minute * 1000,
        "workers per 1,000 questions a minute": workers / a_minute * 1000,
        "Redis MB a day per 1,000 questions a minute": 1000 * 60 * options.hours * costs.kept_bytes / 1e6,
    }


def check(server: ValkeyServer, costs: Costs) -> list[tuple[str, float, float]]:
    """What the simulation foretells, beside what is measured: (what, foretold, measured)."""
    server.flush()
    burst_s = measure_burst(server)
    foretold_s = waits_s(np.zeros(BURST), np.full(BURST, BURST_ANSWER_S), BURST_PLACES).max() + BURST_ANSWER_S
    server.flush()
    more = asyncio.run(measure_inbox(server, 4 * SAMPLE))
    return [
        (f"{BURST} answers of {BURST_ANSWER_S} s at {BURST_PLACES} places, s", foretold_s, burst_s),
        (
            f"Redis kB for {4 * SAMPLE} ended questions",
            4 * SAMPLE * costs.kept_bytes / 1e3,
            4 * SAMPLE * more.kept_bytes / 1e3,
        ),
        (
            f"Redis kB for {4 * SAMPLE} waiting questions",
            4 * SAMPLE * costs.waiting_bytes / 1e3,
            4 * SAMPLE * more.waiting_bytes / 1e3,
        ),
    ]


def committed(file: str, *path: str) -> float:
    """A figure of another benchmark, as it was measured last on a quiet machine."""
    found: Any = json.loads((RESULTS / file).read_text())
    for name in path:
        found = found[int(name) if isinstance(found, list) else name]
    return float(found)


def arguments() -> argparse.Namespace:
    """The assumptions, each a flag."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--channels", type=int, default=10_000)
    add("--messages", type=float, default=50.0, help="a channel's messages a minute")
    add("--questions", type=float, default=0.02, help="the share of the messages that are questions to the bot")
    add("--minutes", type=float, default=5.0, help="how long the simulated time is")
    add("--hours", type=float, default=8.0, help="hours a day with that load; Redis keeps a day and more")
    add("--answer-s", type=float, default=5.0, help="how long the model takes for an answer, on the average")
    add("--places", type=int, default=64, help="answers that a worker has in hand (worker.max_in_flight)")
    add("--wait-s", type=float, default=2.0, help="19 of 20 questions wait no longer for a place")
    add(
        "--other-ms",
        type=float,
        default=committed("intake.json", "figures", "not for us", "cpu_ms"),
        help="CPU of the bot for a message that is not for us (benchmarks.intake)",
    )
    add(
        "--shown-ms",
        type=float,
        default=committed("bot-lark.json", "programs", "python -m bot", "CPU ms an event"),
        help="CPU of the bot for a question, shown (benchmarks.bot)",
    )
    add(
        "--worker-ms",
        type=float,
        default=committed("queue.json", "workers", "0", "CPU ms/job"),
        help="CPU of the worker for a question, beside the model (benchmarks.queue)",
    )
    add("--seed", type=int, default=12)
    return parser.parse_args()


def main() -> None:
    """Measure, simulate, print both and write them."""
    options = arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    server = ValkeyServer()
    server.start()
    try:
        costs = asyncio.run(measure_inbox(server, SAMPLE))
        checked = check(server, costs)
    finally:
        server.remove()
    found = simulate(options, costs, np.random.default_rng(options.seed))
    found["worker cores per 1,000 questions a minute"] = options.worker_ms / 60
    print_table("Measured", ["what", "figure"], [[name, f"{value:,.2f}"] for name, value in asdict(costs).items()])
    print_table(
        "Foretold and measured",
        ["what", "foretold", "measured", "ratio"],
        [[what, f"{one:,.2f}", f"{other:,.2f}", f"{other / one:.2f}"] for what, one, other in checked],
    )
    title = f"{options.channels:,} channels with {options.messages:g} messages a minute"
    print_table(title, ["what", "figure"], [[name, f"{value:,.2f}"] for name, value in found.items()])
    points = [{"what": what, "foretold": one, "measured": other} for what, one, other in checked]
    write_results("scale", {"assumptions": vars(options), "costs": asdict(costs), "checked": points, "figures": found})


if __name__ == "__main__":
    main()
