"""How fast a bot is ready, and how much memory it takes: ``python -m benchmarks.start``.

A bare Python that imports the two libraries every program of Fennel needs stands beside it.
"""

from __future__ import annotations

import argparse
import os
import selectors
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.report import print_table, write_results
from tests.valkey import ValkeyServer

READY_WITHIN_S = 30.0
BASELINE = "import sys, time, redis, pydantic_settings; print('Write @fennel', flush=True); time.sleep(60)"
HEAVY = ("torch", "transformers", "numpy")


def until_ready(command: list[str], environment: dict[str, str]) -> tuple[float, float, list[str]]:
    """Start a program and look at it when it greets, which is when it takes questions.

    Returns the seconds until then, the resident MiB, and which heavy libraries are mapped.
    """
    started_s = time.monotonic()
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        _read_until(process, b"Write @fennel")
        ready_s = time.monotonic() - started_s
        rss_mib = psutil.Process(process.pid).memory_info().rss / 2**20
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        return ready_s, rss_mib, [name for name in HEAVY if f"site-packages/{name}" in maps]
    finally:
        process.kill()
        process.communicate()


def _read_until(process: subprocess.Popen[bytes], word: bytes) -> None:
    assert process.stdout is not None
    said, end_s = b"", time.monotonic() + READY_WITHIN_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while word not in said:
            if not selector.select(max(0.0, end_s - time.monotonic())) or process.poll() is not None:
                raise RuntimeError(f"not ready within {READY_WITHIN_S:g} s; it said: {said.decode(errors='replace')}")
            said += os.read(process.stdout.fileno(), 65536)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    server = ValkeyServer()
    found: dict[str, list[tuple[float, float, list[str]]]] = {"python -m bot console": [], "bare Python, imports": []}
    try:
        server.start()
        with tempfile.TemporaryDirectory(prefix="fennel-home-") as home:
            environment = {"FENNEL_HOME": home, "FENNEL_REDIS__URL": server.url, "FENNEL_LOG__LEVEL": "info"}
            for _ in range(rounds):
                found["python -m bot console"].append(
                    until_ready([sys.executable, "-m", "bot", "console"], environment)
                )
                found["bare Python, imports"].append(until_ready([sys.executable, "-c", BASELINE], {}))
    finally:
        server.remove()
    columns = ["program", "ready s, median", "best", "resident MiB", "torch, transformers, numpy"]
    rows: list[list[object]] = []
    for name, all_rounds in found.items():
        heavy = sorted({one for _, _, names in all_rounds for one in names})
        ready_s = [round(one, 2) for one, _, _ in all_rounds]
        rss_mib = statistics.median(rss for _, rss, _ in all_rounds)
        rows.append(
            [name, f"{statistics.median(ready_s):.2f}", f"{min(ready_s):.2f}", rss_mib, " ".join(heavy) or "none"]
        )
    print_table("Ready and resident", columns, rows)
    write_results("start", {"programs": [dict(zip(columns, row, strict=True)) for row in rows]})


if __name__ == "__main__":
    main()
