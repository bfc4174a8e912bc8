"""``python -m tests.workers.knowledge.kill_sync --kills 50``: SIGKILL in the middle of syncs, and is the index good?

A folder of 1,000 files changes between two states: every file's content, and some files come or go. A program syncs it
and is killed at a random moment: half of the times while it reads and embeds, the other half while the index itself is
written. After each kill the index must be sound and hold the old state or the new one, whole; a sync that is let finish
must then bring the new one.
Exit code 0 only where that was always so.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from config.environment import CHECKOUT
from tests.workers.knowledge.base import KnowledgeBase
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.draft import Draft
from workers.knowledge.ingest import Ingest
from workers.knowledge.source import named_source, source_files

_BEGUN, _EMBEDDED = "begun", "embedded"


class Killing:
    """A folder, the index that follows it, and what was found wrong."""

    def __init__(self, folder: Path, files: int, seed: int) -> None:
        self._folder = folder
        self._files = files
        self._random = random.Random(seed)
        self._kb = KnowledgeBase(folder / "kb")
        self._state = 0
        self.outcomes: Counter[str] = Counter()
        write_state(folder, files, 0)
        self._embed_s, self._write_s = sync(folder)

    def kill_one(self) -> None:
        """Change the folder, sync it, kill that, and look at the index; raises AssertionError where it is not good."""
        write_state(self._folder, self._files, self._state + 1)
        killed = self._killed_sync()
        held = self._held()
        old, new = names(self._files, self._state), names(self._files, self._state + 1)
        assert held in (old, new), f"neither the old nor the new state: {len(held)} documents, {_mixed(held, old, new)}"
        self.outcomes["new" if held == new else "old" if killed else "not killed"] += 1
        self._embed_s, self._write_s = sync(self._folder)
        assert self._held() == new, "a sync after the kill did not bring the new state"
        self._state += 1

    def _killed_sync(self) -> bool:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.workers.knowledge.kill_sync", "--sync", str(self._folder)],
            cwd=CHECKOUT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        with child.stdout:
            assert child.stdout.readline() == f"{_BEGUN}\n"
            if self._random.random() < 0.5:
                time.sleep(self._random.uniform(0, self._embed_s))
            else:
                child.stdout.readline()
                time.sleep(self._random.uniform(0, self._write_s))
            child.send_signal(signal.SIGKILL)
            return child.wait() == -signal.SIGKILL

    def _held(self) -> dict[str, str]:
        """The documents in the index with the text of their passages; every way to them tells the same."""
        with sqlite3.connect(self._kb.file) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        db.close()
        documents = self._kb.store.documents(DEFAULT_BASE)
        held = {
            Path(one.source).name: "\n".join(
                part.text for part in self._kb.store.passages_of(DEFAULT_BASE, one.identity)
            )
            for one in documents
        }
        with self._kb.store.snapshot([DEFAULT_BASE]) as snapshot:
            assert snapshot.size == sum(one.passages for one in documents)
            nearest = snapshot.nearest(self._kb.embedder.embed(["gauge"])[0], snapshot.size)
            ids = [one for one, _ in nearest]
            assert len(set(ids)) == snapshot.size
            assert len(snapshot.passages(ids)) == len(snapshot.words_of(ids)) == snapshot.size
        return held


def names(files: int, state: int) -> dict[str, str]:
    """What the folder holds in a state: a fifth of the files come and go, the others change."""
    there = (number for number in range(files) if number % 5 or state % 2)
    return {f"p{number}.md": f"The gauge number {number} in the state {state}." for number in there}


def write_state(folder: Path, files: int, state: int) -> None:
    """Bring the folder into a state."""
    docs = folder / "docs"
    docs.mkdir(exist_ok=True)
    wanted = names(files, state)
    for path in docs.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (docs / name).write_text(text)


def sync(folder: Path, tell: bool = False) -> tuple[float, float]:
    """Sync the folder, as `fennel kb sync` does; tells on stdout how far it is.

    Returns the seconds until all was embedded, and from there until all was written.
    """
    kb = KnowledgeBase(folder / "kb")
    source = named_source(DEFAULT_BASE, str(folder / "docs"), "", "")
    files = source_files(source, folder, Counter())
    done = 0
    begun_s = embedded_s = time.monotonic()

    def count(_: object) -> None:
        nonlocal done, embedded_s
        done += 1
        if done == len(files):
            embedded_s = time.monotonic()
            if tell:
                print(_EMBEDDED, flush=True)

    if tell:
        print(_BEGUN, flush=True)
    with closing(Draft(folder / "draft.sqlite3")) as draft:
        ingest = Ingest(kb.store, kb.embedder, max_file_mb=1, passage_tokens=100, draft=draft)
        ingest.add_all(files, remove_others_below=source.identity, on_result=count)
    kb.store.close()
    return embedded_s - begun_s, time.monotonic() - embedded_s


def _mixed(held: dict[str, str], old: dict[str, str], new: dict[str, str]) -> str:
    pairs = Counter(
        "old" if old.get(name) == text else "new" if new.get(name) == text else "?" for name, text in held.items()
    )
    return ", ".join(f"{count} {what}" for what, count in pairs.items())


def main() -> int:
    """Kill as often as was asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sync", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    asked = parser.parse_args()
    if asked.sync:
        sync(asked.sync, tell=True)
        return 0
    print(f"{asked.kills} kills, {asked.files} files, seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        killing = Killing(Path(folder), asked.files, asked.seed)
        for number in range(1, asked.kills + 1):
            killing.kill_one()
            told = ", ".join(f"{count} {what}" for what, count in sorted(killing.outcomes.items()))
            print(f"{number} kills: {told}", flush=True)
    print("never a broken or half-new index")
    return 0


if __name__ == "__main__":
    sys.exit(main())
