"""How a bot bears load: ``python -m benchmarks.bot --platform NAME``.

Against the fake platform, with a real Valkey that writes to disk before it answers: the time from an event to its
response, many answers that stream at once, memory, the time until ready, and what the intake costs by itself. Beside
it stands the vendor's own client that acknowledges and does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import redis.asyncio

from benchmarks.bot_platforms.chat_load import ChatLoad
from benchmarks.bot_streaming import Streaming, stream_answers
from benchmarks.report import print_table, write_results
from bot.chat_message import ChatMessage
from bot.intake import Facts, Intake, IntakeLimits
from tests.limits import NO_LIMITS
from tests.valkey import ValkeyServer

PLATFORMS = ("lark", "slack", "wecom")
RATES_PER_S = (50, 200)
CHATS = 100
BOT, BASELINE = "python -m bot", "the vendor's client alone"
READY_WITHIN_S = 60.0
QUESTION = "How many days off do I have in my first year, and who has to agree? " * 3


@dataclass(slots=True)
class Measured:
    """What was seen of one program, over all rounds. Peak memory is the most that was resident at any time."""

    ready_s: list[float] = field(default_factory=list)
    resident_mib: list[float] = field(default_factory=list)
    response_ms: dict[int, list[list[float]]] = field(default_factory=lambda: {per_s: [] for per_s in RATES_PER_S})
    events_per_s: dict[int, list[float]] = field(default_factory=lambda: {per_s: [] for per_s in RATES_PER_S})
    cpu_ms: list[float] = field(default_factory=list)
    unanswered: int = 0


@contextlib.contextmanager
def program(command: list[str], load: ChatLoad, server: ValkeyServer) -> Iterator[tuple[psutil.Process, float]]:
    """A program pointed at the fake, while the block runs; gives it with the seconds until it was ready."""
    with tempfile.TemporaryDirectory(prefix="fennel-bench-") as home:
        said = Path(home, "said.log")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FENNEL_")},
            "FENNEL_HOME": home,
            "FENNEL_REDIS__URL": server.url,
            "FENNEL_QUEUE__MAX_QUEUED": "1000000",
            **NO_LIMITS,
            **load.environment(),
        }
        started_s = time.monotonic()
        with said.open("wb") as log:
            process = psutil.Popen([sys.executable, "-m", *command], env=environment, stdout=log, stderr=log)
        try:
            while not load.is_ready():
                if process.poll() is not None or time.monotonic() - started_s > READY_WITHIN_S:
                    raise RuntimeError(
                        f"{command[0]} is not ready; it said: {said.read_text(errors='replace')[-2000:]}"
                    )
                time.sleep(0.005)
            yield process, time.monotonic() - started_s
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
            process.wait()
            server.flush()


def ask_steadily(load: ChatLoad, per_s: int, seconds: float) -> tuple[list[str], float]:
    """Let people ask at a steady rate; returns the messages and the rate that was reached."""
    began_s = time.monotonic()
    asked: list[str] = []
    for number in range(int(per_s * seconds)):
        time.sleep(max(0.0, began_s + number / per_s - time.monotonic()))
        asked.append(load.ask(number % CHATS, f"{number}: {QUESTION}"))
    return asked, len(asked) / (time.monotonic() - began_s)


def respond(command: list[str], load: ChatLoad, server: ValkeyServer, seconds: float, measured: Measured) -> None:
    """One round: start the program, ask at each rate, and look at it."""
    with load, program(command, load, server) as (process, ready_s):
        measured.ready_s.append(ready_s)
        # The first event pays for what is imported and connected late; nobody waits for that but its asker.
        load.ask(0, QUESTION)
        time.sleep(1.0)
        count, cpu_s = 0, used_cpu_s(process)
        for per_s in RATES_PER_S:
            asked, reached_per_s = ask_steadily(load, per_s, seconds)
            end_s = time.monotonic() + 15.0
            while not set(asked) <= (found := load.response_ms()).keys() and time.monotonic() < end_s:
                time.sleep(0.1)
            measured.response_ms[per_s].append([found[one] for one in asked if one in found])
            measured.events_per_s[per_s].append(reached_per_s)
            measured.unanswered += sum(one not in found for one in asked)
            count += len(asked)
        measured.cpu_ms.append(1000 * (used_cpu_s(process) - cpu_s) / count)
        measured.resident_mib.append(peak_mib(process.pid))


def used_cpu_s(process: psutil.Process) -> float:
    """Seconds of CPU time: other work on the machine changes it least."""
    times = process.cpu_times()
    return float(times.user + times.system)


def peak_mib(pid: int) -> float:
    """The most memory that a process ever had resident."""
    (line,) = [one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


async def stream(load: ChatLoad, server: ValkeyServer, at_once: int, seconds: float) -> Streaming:
    """Let many answers grow and end at once."""
    with load, program(["bot", load.name], load, server):
        async with redis.asyncio.Redis.from_url(server.url, decode_responses=True) as client:
            return await stream_answers(load, client, at_once, seconds)


def intake_us(messages: int = 20_000) -> list[float]:
    """Microseconds that each message costs before Redis is asked: short and long ones, for us and not."""
    intake, now_s = Intake(IntakeLimits(answer_ttl_s=900.0)), time.time()
    texts = ("年假有几天？", QUESTION, QUESTION * 10, "@fennel\u200b why?\r\n" * 20)
    spent = []
    for number in range(messages):
        message = ChatMessage(
            platform="lark",
            tenant="team",
            channel="general",
            thread="general",
            message_id=str(number),
            sender="ada",
            sender_name="Ada",
            text=texts[number % len(texts)],
            at_s=now_s,
            mentions_us=number % 3 > 0,
            is_direct=False,
            from_bot=False,
        )
        began_ns = time.perf_counter_ns()
        intake.decide(message, Facts(now_s))
        spent.append((time.perf_counter_ns() - began_ns) / 1000)
    return spent


def quantile(values: list[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--platform", choices=PLATFORMS, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each rate lasts")
    parser.add_argument("--answers", type=int, default=100, help="how many stream at once")
    parser.add_argument("--stream-seconds", type=float, default=30.0, help="how long they grow")
    given = parser.parse_args()
    create = importlib.import_module(f"benchmarks.bot_platforms.{given.platform}").create
    measured = {BOT: Measured(), BASELINE: Measured()}
    server = ValkeyServer()
    try:
        server.start()
        for number in range(given.rounds):
            for name, command in ((BOT, ["bot", given.platform]), (BASELINE, list(create().baseline))):
                print(f"round {number + 1} of {given.rounds}: {name}", flush=True)
                respond(command, create(), server, given.seconds, measured[name])
        print(f"{given.answers} answers at once", flush=True)
        streaming = asyncio.run(stream(create(), server, given.answers, given.stream_seconds))
    finally:
        server.remove()
    report(create(), measured, streaming, given.answers)


def figures_of(measured: Measured) -> dict[str, float]:
    """The figures of one program by name: medians of the rounds, as other work on the machine may spoil one."""
    figures = {"ready s": statistics.median(measured.ready_s), "resident MiB": max(measured.resident_mib)}
    figures["CPU ms an event"] = statistics.median(measured.cpu_ms)
    for per_s in RATES_PER_S:
        for share in (0.5, 0.99):
            of_rounds = [quantile(one, share) for one in measured.response_ms[per_s]]
            figures[f"response p{100 * share:g} ms at {per_s}/s"] = statistics.median(of_rounds)
        figures[f"reached at {per_s}/s"] = min(measured.events_per_s[per_s])
    figures["without a response"] = measured.unanswered
    return {name: round(value, 2) for name, value in figures.items()}


def report(load: ChatLoad, measured: dict[str, Measured], streaming: Streaming, at_once: int) -> None:
    """Print the tables and write the figures."""
    programs = {name: figures_of(one) for name, one in measured.items()}
    costs = intake_us()
    ours: dict[str, float] = {
        "answers at once": at_once,
        "right answers": streaming.right,
        "updates an answer": round(streaming.updates / at_once, 1),
        "end to shown p50 s": round(quantile(streaming.shown_after_s, 0.5), 2),
        "end to shown p99 s": round(quantile(streaming.shown_after_s, 0.99), 2),
        "sends above the rates": streaming.sends_above_rate,
        "intake p50 us": round(quantile(costs, 0.5), 1),
        "intake p99 us": round(quantile(costs, 0.99), 1),
    }
    rows: list[list[Any]] = [
        [name, value, programs[BASELINE][name], load.goals.get(name, "")] for name, value in programs[BOT].items()
    ]
    rows += [[name, value, "", load.goals.get(name, "")] for name, value in ours.items()]
    print_table(f"{load.name}, appendfsync always", ["", BOT, BASELINE, "goal"], rows)
    write_results(f"bot-{load.name}", {"goals": dict(load.goals), "programs": programs, "bot": ours})


if __name__ == "__main__":
    main()
