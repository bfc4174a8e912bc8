"""What a stack takes while nobody asks anything: ``python -m benchmarks.idle``.

supervisord, its watchdog, Redis, a worker with its engine, and a bot whose link to a fake Slack is up: CPU time of each
as a share of one core, and memory. A bare RQ worker on the same Redis stands beside it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from benchmarks.report import print_table, write_results
from cli.stack import Stack
from tests.cli.stack_home import StackHome, stack_home
from tests.fakes.slack import FakeSlack

SETTLE_S = 10.0
START_WITHIN_S = 900.0


def programs(home: StackHome) -> dict[str, list[psutil.Process]]:
    """The processes of each program, with what they started."""
    found = {"supervisord": [psutil.Process(Stack(home.loaded()).pid())]}
    for program in Stack(home.loaded()).programs():
        if program.pid:
            process = psutil.Process(program.pid)
            found[program.name] = [process]
            for child in process.children(recursive=True):
                kind = "resource tracker" if "resource_tracker" in " ".join(child.cmdline()) else "engine"
                found[f"{program.name}: {kind}"] = [child]
    return found


def cpu_s(processes: list[psutil.Process]) -> float:
    """The CPU time that they have taken so far."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def measure(running: dict[str, list[psutil.Process]], seconds: float) -> dict[str, dict[str, float]]:
    """The share of a core in percent, and the resident memory, of each over so many seconds."""
    time.sleep(SETTLE_S)
    before, began_s = {name: cpu_s(one) for name, one in running.items()}, time.monotonic()
    time.sleep(seconds)
    lasted_s = time.monotonic() - began_s
    return {
        name: {
            "core_percent": 100 * (cpu_s(one) - before[name]) / lasted_s,
            "memory_mib": sum(process.memory_info().rss for process in one) / 2**20,
        }
        for name, one in running.items()
    }


def main() -> None:
    """Measure, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long each is watched")
    parser.add_argument("--engine", choices=["echo", "transformers"], default="transformers")
    options = parser.parse_args()
    with FakeSlack() as fake, stack_home(**fake.urls(), FENNEL_ENGINE__KIND=options.engine) as home:
        # In a new home folder the model's files are made first.
        fennel = str(Path(sys.executable).parent / "fennel")
        subprocess.run([fennel, "up", "--wait"], env=home.environment(), check=True, timeout=START_WITHIN_S)
        fake.wait_for(lambda: fake.connected() == 1, 30)
        rq = [str(Path(sys.executable).parent / "rq"), "worker", "-u", f"unix://{home.home}/run/redis.sock", "baseline"]
        with subprocess.Popen(rq, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as baseline:
            running = {**programs(home), "baseline: a bare rq worker": [psutil.Process(baseline.pid)]}
            found = measure(running, options.seconds)
            baseline.terminate()
    ours = [figures for name, figures in found.items() if not name.startswith("baseline")]
    found["all of Fennel"] = {key: sum(one[key] for one in ours) for key in ("core_percent", "memory_mib")}
    rows = [[name, f"{one['core_percent']:.2f}", one["memory_mib"]] for name, one in found.items()]
    print_table(f"Idle for {options.seconds:.0f} s", ["program", "% of a core", "MiB"], rows)
    write_results("idle", {"engine": options.engine, "seconds": options.seconds, "programs": found})


if __name__ == "__main__":
    main()
