"""``python -m tests.chaos --events 1500``: is every question answered once, in order, whatever is killed?

Valkey, two workers with the echo engine, the made-up chat platform, which delivers again what was not acknowledged
and breaks one call in fifty, and the bot. A worker, an engine, Valkey or the bot is killed with SIGKILL every 1 to
2.5 s, and the bot kills itself at one delivery step in fifty. Exit code 0 only where nothing is missing, doubled or
out of order. With ``--redis-away-s 60`` Valkey is away once for that long, in the middle of the run, beside all else.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from config.redis_users import USERS_FOLDER
from tests.chaos.programs import Kill, Program, Redis, module
from tests.document_home import add_document
from tests.fakes.chat import FakeChat
from tests.limits import NO_LIMITS

THREADS = 40
OPEN_AT_MOST = 48
PAUSE_S = (1.0, 2.5)
SELF_KILL = 0.02
FAULT_RATE = 0.02
QUIET_AT_MOST_S = 90.0


@dataclass
class Tally:
    """What was done and what came of it."""

    kills: Counter[str] = field(default_factory=Counter)
    killed_at_s: list[float] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    duplicate: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    apologies: int = 0
    re_executed: int = 0
    recoveries_s: list[float] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether every question was answered once and in order."""
        return not (self.missing or self.duplicate or self.out_of_order)


class Chaos:
    """One run."""

    def __init__(self, events: int, seed: int, folder: Path, redis_away_s: float = 0) -> None:
        self.tally = Tally()
        self._redis_away_s = redis_away_s
        self._events = events
        self._chance = random.Random(seed)
        self._redis = Redis()
        self._chat = FakeChat(redeliver_after_s=1.0, fault_rate=FAULT_RATE, seed=seed)
        self._chat.start()
        shutil.copytree(self._redis.server.users, folder / "redis" / USERS_FOLDER)
        self._environment = {
            "FENNEL_HOME": str(folder),
            "FENNEL_REDIS__URL": self._redis.server.url,
            "FENNEL_REDIS__ROLES": "true",
            "FENNEL_ENGINE__KIND": "echo",
            **NO_LIMITS,
            "FENNEL_WORKER__LEASE_S": "3",
            "FENNEL_WORKER__DRAIN_S": "2",
            "FENNEL_LOG__LEVEL": "warning",
            "PYTHONUNBUFFERED": "1",
        }
        add_document(folder)
        self._programs = [
            Program("worker_0", module("workers", "--name", "worker_0"), self._environment, folder),
            Program("worker_1", module("workers", "--name", "worker_1"), self._environment, folder),
            Program(
                "bot",
                module("tests.fakes.chat_bot", "--url", self._chat.url, "--self-kill", str(SELF_KILL)),
                self._environment,
                folder,
            ),
        ]
        self._written: list[str] = []

    # --- the run

    def run(self, progress: Progress) -> Tally:
        """Ask all questions while killing, wait for the answers in peace, and count."""
        bar = progress.add_task("answered", total=self._events)
        next_kill_s = time.monotonic() + 3
        changed_s, ended = time.monotonic(), 0
        while ended < self._events and time.monotonic() - changed_s < QUIET_AT_MOST_S:
            while len(self._written) < self._events and len(self._written) - ended < OPEN_AT_MOST:
                self._write()
            if self._redis_away_s and ended >= self._events // 2:
                self._redis.kill(self._redis_away_s)
                self.tally.kills[f"valkey, for {self._redis_away_s:g} s"] += 1
                self._redis_away_s, changed_s = 0, time.monotonic()
            if time.monotonic() >= next_kill_s and len(self._written) < self._events:
                self._kill_one()
                next_kill_s = time.monotonic() + self._chance.uniform(*PAUSE_S)
            time.sleep(0.05)
            now_ended = sum(post.is_end for post in list(self._chat.posts.values()))
            if now_ended != ended:
                ended, changed_s = now_ended, time.monotonic()
                progress.update(bar, completed=ended)
        self._count()
        return self.tally

    def _write(self) -> None:
        number = len(self._written)
        thread = f"thread-{self._chance.randrange(THREADS)}"
        text = f"How often is the gauge at the north pier read? ({number})"
        self._written.append(self._chat.write(text, thread=thread))

    def _kill_one(self) -> None:
        workers, bot = self._programs[:2], self._programs[2]
        worker = self._chance.choice(workers)
        targets: list[tuple[str, Kill]] = [
            ("worker", worker.kill),
            ("engine", worker.kill_child),
            ("valkey", self._redis.kill),
            ("bot", bot.kill),
        ]
        # A program that is just being started cannot be killed: then another one is.
        for _ in range(10):
            name, kill = self._chance.choices(targets, weights=[4, 3, 2, 3])[0]
            if kill():
                self.tally.kills[name] += 1
                self.tally.killed_at_s.append(time.monotonic())
                return

    def stop(self) -> None:
        """End every process."""
        for program in self._programs:
            program.stop()
        self.tally.kills["bot, by itself"] = max(0, self._programs[2].ends - self.tally.kills["bot"])
        self._chat.stop()
        self._redis.server.remove()

    # --- counting

    def _count(self) -> None:
        tally, chat = self.tally, self._chat
        for message_id in self._written:
            replies = chat.replies(message_id)
            if not any(post.is_end for post in replies):
                tally.missing.append(message_id)
            if len(replies) > 1:
                tally.duplicate.append(message_id)
            tally.apologies += any("failed" in post.text.lower() or "sorry" in post.text.lower() for post in replies)
        last: dict[str, int] = {}
        for message_id in self._written:
            ended = chat.ended(message_id)
            if ended is None or ended.ended_at is None:
                continue
            if ended.ended_at < last.get(ended.thread, 0):
                tally.out_of_order.append(message_id)
            last[ended.thread] = max(last.get(ended.thread, 0), ended.ended_at)
        self._count_executions()
        self._count_recoveries()

    def _count_executions(self) -> None:
        with redis.Redis.from_url(self._redis.server.url) as connection:
            keys = list(connection.scan_iter("fennel:reclaims:*", count=1000))
            self.tally.re_executed = sum(int(value or 0) for value in (connection.mget(keys) if keys else []))

    def _count_recoveries(self) -> None:
        ends_s: list[float] = []
        seen: set[str] = set()
        for entry in list(self._chat.journal):
            if entry.kind == "shown" and entry.payload["is_end"] and entry.payload["id"] not in seen:
                seen.add(entry.payload["id"])
                ends_s.append(entry.at_s)
        for killed_s in self.tally.killed_at_s:
            later = next((end_s for end_s in ends_s if end_s > killed_s), None)
            if later is not None:
                self.tally.recoveries_s.append(later - killed_s)


def report(tally: Tally, events: int, seed: int, took_s: float, console: Console) -> None:
    """Print the table."""
    table = Table(title=f"Chaos: {events} questions in {took_s:.0f} s, seed {seed}", show_header=False)
    for name, count in sorted(tally.kills.items()):
        table.add_row(f"killed: {name}", str(count))
    recoveries = sorted(tally.recoveries_s) or [0.0]
    table.add_row("taken back from a dead worker or engine", str(tally.re_executed))
    table.add_row("from a kill to the next answer, p50", f"{statistics.median(recoveries):.1f} s")
    table.add_row("from a kill to the next answer, p99", f"{recoveries[int(0.99 * len(recoveries))]:.1f} s")
    table.add_row("apologies", str(tally.apologies))
    for name, found in (
        ("missing", tally.missing),
        ("duplicate", tally.duplicate),
        ("out of order", tally.out_of_order),
    ):
        table.add_row(name, f"{len(found)} {' '.join(found[:5])}", style="bold red" if found else "bold green")
    console.print(table)


def main() -> int:
    """Run once and tell what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--events", type=int, default=1500, help="questions to ask")
    parser.add_argument("--seed", type=int, default=None, help="which processes are killed, and when")
    parser.add_argument("--redis-away-s", type=float, default=0, help="one outage of Redis of this length")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the programs' logs")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    console = Console()
    console.print(f"seed {seed}")
    folder = Path(tempfile.mkdtemp(prefix="fennel-chaos-"))
    started_s = time.monotonic()
    chaos = Chaos(options.events, seed, folder, options.redis_away_s)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as progress:
            tally = chaos.run(progress)
    finally:
        chaos.stop()
    report(tally, options.events, seed, time.monotonic() - started_s, console)
    if options.keep or not tally.good:
        console.print(f"the programs' logs are in {folder}")
    else:
        shutil.rmtree(folder)
    return 0 if tally.good else 1


if __name__ == "__main__":
    sys.exit(main())
