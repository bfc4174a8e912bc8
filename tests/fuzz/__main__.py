"""``python -m tests.fuzz``: a million bad inputs, over night; prints a table and keeps it as var/fuzz/last.json.

The corpus of each target, and every input that broke its reader, stay in var/fuzz/. `--replay FILE` reads such an
input again and shows what comes out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from config.environment import CHECKOUT, environment_with
from tests.fuzz.campaign import COUNT, IS_GUIDED
from tests.fuzz.target import opened
from tests.fuzz.targets import TARGETS, make_target

FOLDER = CHECKOUT / "var" / "fuzz"
A_MILLION = 1_000_000
GIVE_UP_AFTER_S = 6 * 3600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one target. `fault` is the file with the input that broke its reader, or why there is none."""

    target: str
    inputs: int
    seconds: float
    seed: int
    fault: str


def main() -> int:
    """Fuzz all targets one after another; returns 1 where a reader was broken."""
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    options.add_argument("--inputs", type=int, default=A_MILLION, help="over all targets together")
    options.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="of the first target")
    options.add_argument("--only", choices=list(TARGETS), action="append", help="this target alone, with its share")
    options.add_argument("--replay", type=Path, metavar="FILE", help="read one kept input, and show what comes out")
    asked = options.parse_args()
    if asked.replay:
        return _replay(asked.replay)
    engine = "atheris, coverage-guided" if IS_GUIDED else "blind edits; atheris is not installed"
    print(f"seed {asked.seed}; {engine}; {FOLDER.relative_to(CHECKOUT)} keeps corpus and faults", flush=True)
    outcomes = []
    for number, name in enumerate(asked.only or TARGETS):
        # Rounded up, so that they are never fewer than asked for.
        inputs = -(-asked.inputs * TARGETS[name].of_a_million // A_MILLION)
        outcomes.append(_fuzz(name, inputs, asked.seed + number))
        _say(outcomes[-1])
    _table(outcomes)
    (FOLDER / "last.json").write_text(json.dumps([asdict(one) for one in outcomes], indent=1) + "\n")
    return 1 if any(one.fault for one in outcomes) else 0


def _fuzz(name: str, inputs: int, seed: int) -> Outcome:
    corpus, faults, log = FOLDER / "corpus" / name, FOLDER / "faults", FOLDER / f"{name}.log"
    for folder in (corpus, faults):
        folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.campaign", name, "--inputs", str(inputs), "--seed", str(seed)]
    command += ["--corpus", str(corpus), "--faults", str(faults)]
    begun_s = time.monotonic()
    code = _run(command, log)
    seconds, said = time.monotonic() - begun_s, log.read_text(errors="replace")
    counted = re.findall(rf"{COUNT}\s*(\d+)", said) or re.findall(r"^#(\d+)", said, re.MULTILINE)
    fault = ""
    if code:
        found = re.search(r"Test unit written to (\S+)", said)
        fault = found[1] if found else f"exit code {code}: see {log}"
    return Outcome(name, int(counted[-1]) if counted else 0, seconds, seed, fault)


def _run(command: list[str], log: Path) -> int:
    """Run it to its end and return its exit code; -1 where it does not end.

    libFuzzer leaves at once, without a word to what its target has started: that is ended and swept away here.
    """
    with log.open("w") as said, tempfile.TemporaryDirectory(prefix="fennel-fuzz-") as folder:
        process = subprocess.Popen(
            command, cwd=CHECKOUT, env=environment_with(TMPDIR=folder), stdout=said, stderr=said, start_new_session=True
        )
        try:
            return process.wait(GIVE_UP_AFTER_S)
        except subprocess.TimeoutExpired:
            return -1
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _replay(file: Path) -> int:
    name = max((one for one in TARGETS if file.name.startswith(one)), key=len)
    with opened(make_target(name)) as target:
        print("taken" if target.read(file.read_bytes()) else "refused")
    return 0


def _say(outcome: Outcome) -> None:
    print(f"{outcome.target}: {outcome.inputs:,} in {outcome.seconds:.0f} s {outcome.fault}".rstrip(), flush=True)


def _table(outcomes: list[Outcome]) -> None:
    table = Table()
    table.add_column("target")
    for name in ("inputs", "s", "seed"):
        table.add_column(name, justify="right")
    table.add_column("fault")
    for one in outcomes:
        table.add_row(one.target, f"{one.inputs:,}", f"{one.seconds:.0f}", str(one.seed), one.fault or "none")
    seconds, inputs = sum(one.seconds for one in outcomes), sum(one.inputs for one in outcomes)
    table.add_row("together", f"{inputs:,}", f"{seconds:.0f}", "", str(sum(bool(one.fault) for one in outcomes)))
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())
