"""A rolling restart of a real stack in a chat that goes on asking: nothing is lost, and what fails stops it."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.cli.slack_stage import Stage, Talk, slack_stage
from tests.cli.stack_home import BIN, TIMEOUT_S, stack_home
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A test that breaks something mends it."""
    with slack_stage() as one:
        yield one


def test_a_rolling_restart_while_people_ask_loses_nothing(stage: Stage) -> None:
    """Every program but Redis is a new one, and each question that was asked meanwhile has its one answer."""
    before = stage.pids()

    with Talk(stage):
        rolled = stage.home.fennel("restart", "--rolling")
    after = stage.pids()

    assert rolled.returncode == 0, rolled.stderr
    assert {name for name, pid in before.items() if after[name] == pid} == {"redis"}
    told = [line.partition(" (")[0] for line in rolled.stdout.splitlines()]
    assert told[:4] == ["worker_0 is ready", "worker_1 is ready", "bot_lark is not set up", "bot_slack is ready"]
    assert re.search(r"\[1/\d+\] worker_0: ends what it has in hand", rolled.stderr)
    assert len(stage.asked) > 20
    stage.wait_until_answered()


def test_a_worker_that_does_not_come_up_stops_the_roll(stage: Stage) -> None:
    """The sentence names it, why, and who goes on as before; they do; with the fault mended the next roll is whole."""
    before = stage.pids()
    stage.write(kind="transformers", model="/nowhere")

    with Talk(stage):
        stopped = stage.home.fennel("restart", "--rolling")
    after = stage.pids()

    assert stopped.returncode == 1
    assert stopped.stderr.count("fennel: the roll stops at worker_0: the engine of worker_0 cannot start: ") == 1
    assert "/nowhere" in stopped.stderr
    assert "worker_1, bot_slack, watchdog were not touched and go on as before." in stopped.stderr
    assert {name for name in before if after.get(name) != before[name]} <= {"worker_0"}
    stage.wait_until_answered()

    stage.write(kind="echo")
    mended = stage.home.fennel("restart", "--rolling")
    assert mended.returncode == 0, mended.stderr
    assert {name for name, pid in before.items() if stage.pids()[name] == pid} == {"redis"}


def test_a_roll_that_is_broken_off_leaves_no_program_stopped(stage: Stage) -> None:
    """After Ctrl-C each program runs, and a second roll beside another one is refused."""
    rolling = subprocess.Popen(
        # Whoever started the tests in the background has them ignore Ctrl-C, and their children too.
        ["env", "--default-signal=INT", str(BIN / "fennel"), "restart", "--rolling"],
        cwd=stage.home.folder,
        env=stage.home.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert rolling.stderr is not None
    assert "worker_0: ends what it has in hand" in rolling.stderr.readline()
    rolling.send_signal(signal.SIGSTOP)  # so that it is not done before the second has been refused
    second = stage.home.fennel("restart", "--rolling")
    rolling.send_signal(signal.SIGINT)
    rolling.send_signal(signal.SIGCONT)
    rolling.communicate(timeout=TIMEOUT_S)

    assert rolling.returncode == 1
    assert (second.returncode, "another rolling restart is under way" in second.stderr) == (1, True)
    until(lambda: {one["state"] for one in stage.home.programs().values()} <= {"RUNNING", "EXITED"})
    until(lambda: stage.slack.connected() > 0)
    stage.ask()
    stage.wait_until_answered()


def test_what_a_roll_cannot_do_is_said(stage: Stage) -> None:
    """Another number of workers, and a name beside --rolling."""
    named = stage.home.fennel("restart", "--rolling", "worker_0")
    more = stage.home.fennel("restart", "--rolling", FENNEL_WORKER__PROCESSES="3")

    assert (named.returncode, "--rolling restarts all programs" in named.stderr) == (2, True)
    assert "worker.processes is 3, and 2 run: `fennel restart` makes it count." in more.stdout


def test_nothing_runs() -> None:
    """Without a stack there is nothing to roll."""
    with stack_home() as home:
        rolled = home.fennel("restart", "--rolling")
        told = "fennel: Fennel is not running; `fennel up` starts it [not-running]\n"
        assert (rolled.returncode, rolled.stderr) == (1, told)
