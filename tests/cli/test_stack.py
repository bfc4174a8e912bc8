"""The stack under a real supervisord, with a real Valkey and real workers that have the echo engine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from unittest.mock import patch

import psutil
import pytest
import redis

from cli.leftovers import find_leftovers
from cli.stack import Stack
from contract import names
from tests.cli.stack_home import BIN, StackHome, ends, stack_home
from tests.valkey import ValkeyServer
from tests.waiting import until
from tests.workers.questions import ask


@pytest.fixture(scope="module")
def running() -> Iterator[StackHome]:
    """A stack that is up and ready; a test that stops a part of it starts it again."""
    with stack_home() as home:
        started = home.fennel("up", "--wait")
        assert started.returncode == 0, started.stderr
        yield home


def is_ready(home: StackHome) -> bool:
    """Whether the worker that runs now has said that its engine is ready."""
    status = home.status()
    pid = next(program["pid"] for program in status["programs"] if program["name"] == "worker_0")
    return [(engine["state"], engine["pid"]) for engine in status["engines"] or []] == [("ready", pid)]


def test_up_returns_when_the_engine_is_ready(running: StackHome) -> None:
    """After `up --wait` the programs run, and bots that are not set up have ended without a fault."""
    states = {
        "watchdog": "RUNNING",
        "redis": "RUNNING",
        "worker_0": "RUNNING",
        "dashboard": "EXITED",
        "bot_slack": "EXITED",
        "bot_lark": "EXITED",
        "bot_wecom": "EXITED",
        "bot_weixin": "EXITED",
        "bot_web": "EXITED",
    }

    assert is_ready(running)
    # A worker with a quick engine may be ready before a bot has read that it is not set up.
    until(lambda: {name: program["state"] for name, program in running.programs().items()} == states)


def test_up_when_it_is_up_says_so(running: StackHome) -> None:
    """A second start is no fault, and starts nothing."""
    before = running.programs()

    again = running.fennel("up", "--wait")

    assert again.returncode == 0
    assert again.stdout.startswith(f"Fennel is running already (process {running.status()['pid']}, ")
    assert {name: program["pid"] for name, program in running.programs().items()} == {
        name: program["pid"] for name, program in before.items()
    }


def test_a_plain_supervisorctl_in_the_checkout_finds_the_default_home(running: StackHome) -> None:
    """Whoever knows supervisord needs no option of ours."""
    shown = subprocess.run([str(BIN / "supervisorctl"), "status"], cwd=running.folder, capture_output=True, text=True)

    assert re.search(r"^redis +RUNNING", shown.stdout, re.MULTILINE)
    assert re.search(r"^worker:worker_0 +RUNNING", shown.stdout, re.MULTILINE)


def test_supervisorctl_stops_and_starts_a_program(running: StackHome) -> None:
    """Each program can be handled by itself."""
    stopped = running.run("supervisorctl", "stop", "worker:worker_0")
    state = running.programs()["worker_0"]["state"]
    started = running.run("supervisorctl", "start", "worker:worker_0")
    until(lambda: is_ready(running))

    assert (stopped.returncode, state, started.returncode) == (0, "STOPPED", 0)


def test_redis_keeps_what_it_was_told_over_a_restart(running: StackHome) -> None:
    """The worker goes on with the server that came back, without being started again."""
    worker = running.programs()["worker_0"]["pid"]
    with running.redis() as client:
        client.set("fennel:kept", "yes")
        restarted = running.fennel("restart", "redis")
        until(lambda: answers(client))
        kept = client.get("fennel:kept")
        client.delete("fennel:kept")
    until(lambda: is_ready(running))

    assert (restarted.returncode, kept) == (0, "yes")
    assert running.programs()["worker_0"]["pid"] == worker


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_a_killed_worker_is_started_again(running: StackHome) -> None:
    """Supervisord brings it back under the same name."""
    pid = running.programs()["worker_0"]["pid"]

    psutil.Process(pid).kill()
    until(lambda: running.programs()["worker_0"]["pid"] not in (None, pid))
    until(lambda: is_ready(running))


def test_a_program_that_does_not_exist_is_told(running: StackHome) -> None:
    """The sentence lists those that do."""
    restarted = running.fennel("restart", "bot_irc")

    assert restarted.returncode == 1
    assert restarted.stderr.startswith("fennel: there is no program bot_irc: the programs are ")
    assert "worker_0" in restarted.stderr


def test_logs_show_the_end_of_a_programs_log(running: StackHome) -> None:
    """`fennel logs` lists the logs, shows one, and says which there are for a wrong name."""
    listed, shown, wrong = (
        running.fennel("logs"),
        running.fennel("logs", "redis", "-n", "1"),
        running.fennel("logs", "x"),
    )

    assert {"redis", "worker_0", "supervisord"} <= set(listed.stdout.split())
    assert len(shown.stdout.splitlines()) == 1
    assert (wrong.returncode, "x has no log" in wrong.stderr) == (1, True)


def test_the_queue_can_be_looked_at_with_rq(running: StackHome) -> None:
    """RQ's own command sees the worker through the unix socket."""
    shown = running.run("rq", "info", "-u", f"unix://{running.home}/run/redis.sock")

    assert shown.returncode == 0
    assert re.search(r"^worker_0 ", shown.stdout, re.MULTILINE)


def test_sockets_and_folders_are_this_users_alone(running: StackHome) -> None:
    """Whoever may write to the queue may ask anything; nobody else may."""
    for name in ("run/redis.sock", "run/supervisor.sock", "run", "redis", "knowledge"):
        assert (name, (running.home / name).stat().st_mode & 0o077) == (name, 0)


def test_programs_of_a_killed_supervisord_are_not_doubled() -> None:
    """A new supervisord, started by hand at once, gets one of each: the others end with theirs, and locks wait."""
    with stack_home() as home:
        assert home.fennel("up", "--wait").returncode == 0
        left = [program["pid"] for program in home.programs().values() if program["pid"]]
        psutil.Process(home.status()["pid"]).kill()

        stack = Stack(home.loaded())
        with patch.dict(os.environ, home.environment(), clear=True):
            stack.start()
        until(lambda: is_ready(home))

        assert [pid for pid in left if psutil.pid_exists(pid) and not is_zombie(pid)] == []
        assert len(processes_of(stack)) == len([one for one in home.programs().values() if one["pid"]]) + 2


def processes_of(stack: Stack) -> list[psutil.Process]:
    """What runs for this home folder: the programs, the worker's engine and its resource tracker."""
    return find_leftovers(stack)


def is_zombie(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_down_under_load_drains_in_order_loses_nothing_and_twice_is_fine() -> None:
    """Who needs Redis ends before Redis does; what was not finished is, once, by the next start, here under systemd."""
    with stack_home(FENNEL_WORKER__MAX_IN_FLIGHT="2") as home:
        assert home.fennel("up", "--wait").returncode == 0
        with home.redis() as client:
            asked = sorted(ask(client, f"What is number {number}?").id for number in range(60))
            until(lambda: client.xlen(names.answers_stream("test")) > 0)
        down, again = home.fennel("down"), home.fennel("down")
        status = home.fennel("status")
        with subprocess.Popen(
            [str(BIN / "fennel"), "up", "--nodaemon"],
            cwd=home.folder,
            env=home.environment(),
            stdout=subprocess.DEVNULL,
        ) as supervisord:
            try:
                until(lambda: home.status()["running"] and is_ready(home))
                until(lambda: len(ends(home)) >= len(asked))
                assert ends(home) == asked
            finally:
                supervisord.send_signal(signal.SIGTERM)

        log = (home.home / "logs" / "supervisord.log").read_text()
        assert re.findall(r"stopped: (redis|worker_0)", log) == ["worker_0", "redis", "worker_0", "redis"]
        assert (down.returncode, down.stdout) == (0, "Fennel has stopped.\n")
        assert (again.returncode, again.stdout) == (0, "Fennel was not running.\n")
        assert (status.returncode, supervisord.returncode) == (5, 0)


def test_another_server_is_used_where_one_is_named(valkey: ValkeyServer) -> None:
    """With redis.url set, the embedded server is not started."""
    with stack_home(FENNEL_REDIS__URL=valkey.url) as home:
        started = home.fennel("up", "--wait")

        assert started.returncode == 0, started.stderr
        assert home.programs()["redis"]["state"] == "STOPPED"
        assert is_ready(home)
