"""Everything in one terminal, without supervisord."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from bot.phrases import phrase
from config.environment import CHECKOUT
from contract import names
from tests.cli.stack_home import BIN, StackHome, ends, stack_home
from tests.cli.terminal_chat import TOUCHED, chat_once
from tests.waiting import until
from tests.workers.questions import ask

WITHIN_S = 60.0


@pytest.fixture
def home() -> Iterator[StackHome]:
    """A home folder in which nothing runs yet."""
    with stack_home() as one:
        yield one


@contextmanager
def foreground(home: StackHome, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """`fennel up --foreground` that has become ready; killed at the end if it is still there."""
    with subprocess.Popen(
        [str(BIN / "fennel"), "up", "--foreground"],
        cwd=home.folder,
        env=home.environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if line.startswith("Fennel is ready"):
                    break
            else:
                raise AssertionError("".join(said))
            yield process
        finally:
            process.kill()


def test_ctrl_c_under_load_drains_and_loses_nothing(home: StackHome) -> None:
    """What is in hand is finished, the rest waits in the queue, and the next start ends each question once."""
    with foreground(home, FENNEL_WORKER__MAX_IN_FLIGHT="2") as process:
        with home.redis() as client:
            asked = sorted(ask(client, f"What is number {number}?").id for number in range(60))
            until(lambda: client.xlen(names.answers_stream("test")) > 0)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=WITHIN_S)

    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    with foreground(home) as process:
        until(lambda: len(ends(home)) >= len(asked))
        assert ends(home) == asked
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WITHIN_S)
    assert process.returncode == 0


def test_other_commands_know_of_it(home: StackHome) -> None:
    """A second start is refused with the cure, `status` shows it, and `down` stops it."""
    with foreground(home) as process:
        refused = [home.fennel("up"), home.fennel("up", "--foreground")]
        status = home.status()
        down = home.fennel("down")
        process.communicate(timeout=WITHIN_S)

    for one in refused:
        assert one.returncode == 1
        assert f"(process {process.pid}); `fennel down` stops it" in one.stderr
    assert (status["running"], [one["state"] for one in status["engines"]]) == (True, ["ready"])
    assert (down.returncode, down.stdout, process.returncode) == (0, "Fennel has stopped.\n", 0)


def test_a_killed_terminal_leaves_nothing_behind(home: StackHome) -> None:
    """The kernel tells the programs, which end by themselves."""
    with foreground(home) as process:
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    _, alive = psutil.wait_procs(children, timeout=WITHIN_S)

    assert len(children) >= 3
    assert alive == []


@pytest.mark.timeout(180)
def test_a_parent_that_has_touched_torch_gets_its_answers(home: StackHome) -> None:
    """A program that made a model and ran it on several threads starts everything, and nothing hangs."""
    answer = chat_once(home, TOUCHED.format(device="cpu", model=home.folder / "model"), device="cpu")

    assert phrase("en", "not_found") in answer


ORPHAN = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "from health.parent import end_with_parent; end_with_parent();"
    "print('tied', flush=True); import time; time.sleep(600)"], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_program_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    """Also where that is killed and can tell nobody."""
    ended = subprocess.run([sys.executable, "-c", ORPHAN], capture_output=True, text=True, cwd=CHECKOUT)
    pid = int(ended.stdout)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
