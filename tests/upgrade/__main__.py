"""``python -m tests.upgrade --old REF``: do bots and workers of two commits work together, in both directions?

Valkey, the made-up chat platform, two workers with the echo engine and a bot. They begin as the programs of the commit
REF and are replaced one after another, as `fennel restart --rolling` does it, by those of this checkout: workers first,
then the bot. Then all goes back again the same way. People ask all the while. Exit code 0 only where each question got
its one answer, in the order of its thread.
"""

from __future__ import annotations

import argparse
import functools
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import redis
from rich.console import Console
from rich.table import Table

from config.environment import CHECKOUT
from contract import names
from tests.chaos.programs import Program, Redis, module
from tests.cli.program import FENNEL
from tests.fakes.chat import FakeChat
from tests.limits import NO_LIMITS

THREADS = 20
OPEN_AT_MOST = 24
READY_WITHIN_S = 60.0
ANSWERED_WITHIN_S = 90.0
DOCUMENT = "# Tides\n\n## Gauges\n\nThe gauge at the north pier is read every six minutes and calibrated in May.\n"


class Upgrade:
    """One run: `old` and `new` are checkouts."""

    def __init__(self, old: Path, new: Path, folder: Path) -> None:
        self.asked: dict[str, list[str]] = {}
        self._redis = Redis()
        self._chat = FakeChat(redeliver_after_s=1.0)
        self._chat.start()
        self._chance = random.Random(1)
        environment = {
            "FENNEL_HOME": str(folder),
            "FENNEL_REDIS__URL": self._redis.server.url,
            "FENNEL_ENGINE__KIND": "echo",
            **NO_LIMITS,
            "FENNEL_WORKER__DRAIN_S": "1",
            "FENNEL_LOG__LEVEL": "warning",
        }
        (folder / "tides.md").write_text(DOCUMENT)
        self._programs = [
            Program(name, command, environment, folder, old)
            for name, command in (
                ("worker_0", module("workers", "--name", "worker_0")),
                ("worker_1", module("workers", "--name", "worker_1")),
                ("bot", module("tests.fakes.chat_bot", "--url", self._chat.url)),
            )
        ]
        # The index is the older one's work.
        added = [*FENNEL, "kb", "add", "tides.md"]
        subprocess.run(added, cwd=folder, env={**self._programs[0].environment, "PYTHONPATH": str(old)}, check=True)
        self._phases = (("workers", self._programs[:2], new), ("bot", self._programs[2:], new))
        self._back = (("workers", self._programs[:2], old), ("bot", self._programs[2:], old))

    def run(self, console: Console) -> None:
        """All phases; raises AssertionError where something does not come up or is not answered in time."""
        self._ask_while("old bot, old workers", [])
        for what, phases in (("new", self._phases), ("old again", self._back)):
            for name, programs, checkout in phases:
                console.print(f"{name}: {what}")
                self._ask_while(f"{name}: {what}", [(program, checkout) for program in programs])

    def _ask_while(self, phase: str, moves: list[tuple[Program, Path]]) -> None:
        """Replace programs while people ask, and wait for the answers."""
        self.asked[phase] = []
        for program, checkout in moves:
            before = program.pid
            # In a thread of its own: whoever asks does not wait for a drain.
            moving = threading.Thread(target=program.move, args=(checkout,))
            moving.start()
            self._ask_until(phase, functools.partial(self._is_ready, program, before))
            moving.join()
        self._ask_until(phase, lambda: len(self.asked[phase]) >= 60)
        end_s = time.monotonic() + ANSWERED_WITHIN_S
        while any(not self._chat.ended(one) for one in self.asked[phase]):
            assert time.monotonic() < end_s, f"{phase}: not everything was answered within {ANSWERED_WITHIN_S:.0f} s"
            time.sleep(0.05)

    def _ask_until(self, phase: str, done: Callable[[], bool]) -> None:
        end_s = time.monotonic() + READY_WITHIN_S
        while not done():
            assert time.monotonic() < end_s, f"{phase}: not ready within {READY_WITHIN_S:.0f} s"
            if sum(not self._chat.ended(one) for one in self.asked[phase]) < OPEN_AT_MOST:
                thread = f"thread-{self._chance.randrange(THREADS)}"
                text = f"How often is the gauge at the north pier read? ({len(self.asked[phase])})"
                self.asked[phase].append(self._chat.write(text, thread=thread))
            time.sleep(0.02)

    def _is_ready(self, program: Program, before: int) -> bool:
        if program.pid == before or not program.name.startswith("worker"):
            return program.pid != before
        with redis.Redis.from_url(self._redis.server.url, decode_responses=True) as client:
            said = client.hgetall(names.engine_key(program.name))
        return (said.get("pid"), said.get("state")) == (str(program.pid), "ready")

    def count(self) -> tuple[list[str], list[str], list[str]]:
        """Questions without an end or with another than an answer, with more than one reply, and out of order."""
        everything = [one for asked in self.asked.values() for one in asked]
        wrong = [one for one in everything if "every six minutes" not in getattr(self._chat.ended(one), "text", "")]
        doubled = [one for one in everything if len(self._chat.replies(one)) > 1]
        last: dict[str, int] = {}
        disordered = []
        for one in everything:
            post = self._chat.ended(one)
            if post is not None and post.ended_at is not None:
                if post.ended_at < last.get(post.thread, 0):
                    disordered.append(one)
                last[post.thread] = max(last.get(post.thread, 0), post.ended_at)
        return wrong, doubled, disordered

    def stop(self) -> None:
        """End every process."""
        for program in self._programs:
            program.stop()
        self._chat.stop()
        self._redis.server.remove()


def check_out(ref: str, folder: Path) -> Path:
    """The commit in a folder of its own; raises CalledProcessError."""
    subprocess.run(["git", "worktree", "add", "--detach", "--quiet", str(folder), ref], cwd=CHECKOUT, check=True)
    said = subprocess.run(
        [sys.executable, "-c", "import contract.wire; print(contract.wire.__file__)"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.startswith(str(folder)), f"the programs of {ref} would be those of {said.stdout}"
    return folder


def main() -> int:
    """Run once and tell what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade", description=__doc__)
    parser.add_argument("--old", default="HEAD~1", help="the other commit")
    options = parser.parse_args()
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="fennel-upgrade-"))
    (folder / "home").mkdir()
    old = check_out(options.old, folder / "old")
    started_s = time.monotonic()
    try:
        upgrade = Upgrade(old, CHECKOUT, folder / "home")
        try:
            upgrade.run(console)
            found = upgrade.count()
        finally:
            upgrade.stop()
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(old)], cwd=CHECKOUT, check=True)
    table = Table(title=f"From {options.old} and back in {time.monotonic() - started_s:.0f} s", show_header=False)
    for phase, asked in upgrade.asked.items():
        table.add_row(f"asked, {phase}", str(len(asked)))
    for name, ids in zip(("not answered", "answered twice", "out of order"), found, strict=True):
        table.add_row(name, f"{len(ids)} {' '.join(ids[:5])}", style="bold red" if ids else "bold green")
    console.print(table)
    if any(found):
        console.print(f"the programs' logs are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
