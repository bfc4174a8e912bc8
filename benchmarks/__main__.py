"""``python -m benchmarks``, or ``make bench``: every benchmark, one after another."""

from __future__ import annotations

import subprocess
import sys

COMMANDS = [
    ["benchmarks.start"],
    ["benchmarks.queue", "--rounds", "2"],
    ["benchmarks.bot", "--platform", "lark"],
    ["benchmarks.bot", "--platform", "slack"],
    ["benchmarks.intake"],
    ["benchmarks.engine"],
    ["benchmarks.engine_memory"],
    ["benchmarks.soak"],
    ["benchmarks.injection"],
    ["benchmarks.quality"],
    ["benchmarks.retrieval", "--passages", "100000"],
    ["benchmarks.ingest"],
    ["benchmarks.web"],
]


def main() -> int:
    """Run each; the exit code is that of the first that failed."""
    for command in COMMANDS:
        print(f"$ python -m {' '.join(command)}", flush=True)
        code = subprocess.run([sys.executable, "-m", *command]).returncode
        if code:
            print(f"{command[0]} failed with exit code {code}", file=sys.stderr)
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
