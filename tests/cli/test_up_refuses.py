"""What `fennel up` says where it cannot start; nothing is left running, and the exit code is not zero."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from cli import preflight
from cli.main import COMMANDS, fennel
from cli.stack import StackError
from config.loading import load_settings
from tests.cli.stack_home import StackHome, stack_home


@pytest.fixture
def home() -> Iterator[StackHome]:
    """A home folder in which nothing runs yet."""
    with stack_home() as one:
        yield one


def test_a_home_that_cannot_be_written(home: StackHome) -> None:
    """The sentence names the folder and what to do, and it is a wrong setting."""
    (home.folder / "file").write_text("")

    refused = home.fennel("up", FENNEL_HOME=str(home.folder / "file" / "var"))

    assert refused.returncode == 2
    assert refused.stderr.startswith(
        f"fennel: FENNEL_HOME={home.folder}/file/var cannot be written (Not a directory): "
    )


def test_a_home_too_long_for_sockets(home: StackHome) -> None:
    """Found before supervisord would stumble over it."""
    refused = home.fennel("up", FENNEL_HOME=str(home.folder / ("x" * 80)))

    assert refused.returncode == 2
    assert "is too long a path for the sockets in it" in refused.stderr


def test_a_port_that_is_taken(home: StackHome) -> None:
    """The sentence names who listens there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = home.fennel("up", "--wait", FENNEL_REDIS__PORT=str(port))

    assert refused.returncode == 1
    assert refused.stderr.startswith(f"fennel: port {port} on 127.0.0.1 cannot be used (")
    assert f"process {os.getpid()}, listens there" in refused.stderr
    assert home.status()["running"] is False


def test_a_server_that_cannot_be_run(home: StackHome) -> None:
    """FENNEL_REDIS_SERVER is looked at before anything is started."""
    refused = home.fennel("up", FENNEL_REDIS_SERVER=str(home.folder / "no-server"))

    assert refused.returncode == 1
    assert "no-server is no program that can be run" in refused.stderr


def test_a_server_that_ends_at_once(home: StackHome) -> None:
    """The end of its log is shown, and where to look further."""
    server = home.folder / "server"
    server.write_text("#!/bin/sh\necho out of order\nexit 1\n")
    server.chmod(0o755)

    refused = home.fennel("up", "--wait", FENNEL_REDIS_SERVER=str(server))

    assert refused.returncode == 1
    assert "fennel: redis ends whenever it is started; its log says:\n    out of order\n" in refused.stderr
    assert "`fennel logs redis`" in refused.stderr


def test_a_disk_that_is_full(home: StackHome, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with less than is needed is told with both figures."""
    monkeypatch.setenv("FENNEL_HOME", str(home.home))
    settings = load_settings()
    settings.make_folders()
    monkeypatch.setattr(preflight, "FREE_MB", 10**9)

    with pytest.raises(
        StackError, match=r"has \d+ MB left and Fennel needs \d{10} MB|has \d+ MB left and Fennel needs"
    ):
        preflight.check_disk(settings)


def test_a_wrong_setting_is_one_sentence(home: StackHome) -> None:
    """Every command says so, with exit code 2 and no traceback."""
    refused = home.fennel("status", FENNEL_WORKER__PROCESSES="many")

    assert refused.returncode == 2
    assert refused.stderr.startswith("fennel: FENNEL_WORKER__PROCESSES='many' cannot be used: ")
    assert len(refused.stderr.splitlines()) == 1


def test_asking_what_does_not_run(home: StackHome) -> None:
    """`status` tells it by its exit code, `restart PROGRAM` by a sentence."""
    status, restart = home.fennel("status"), home.fennel("restart", "redis")

    assert (status.returncode, status.stdout) == (5, "Fennel is not running; `fennel up` starts it.\n")
    assert (restart.returncode, restart.stderr) == (
        1,
        "fennel: Fennel is not running; `fennel up` starts it [not-running]\n",
    )


def test_ways_to_stay_exclude_each_other(home: StackHome) -> None:
    """Two of them never return."""
    refused = home.fennel("up", "--wait", "--foreground")

    assert refused.returncode == 2
    assert "exclude each other" in refused.stderr


def test_help_lists_every_command(home: StackHome) -> None:
    """The help needs no command's module, and each command has the name that the table gives it."""
    shown = home.fennel("--help")

    assert shown.returncode == 0
    for name in COMMANDS:
        assert f"\n  {name} " in shown.stdout
        command = fennel.get_command(fennel.make_context("fennel", ["--help"], resilient_parsing=True), name)
        assert command is not None
        assert command.name == name
