"""A home folder of a test's own, and the commands run in it as a person would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import redis

from cli.overview import look
from config.environment import CHECKOUT
from config.loading import load_settings
from config.redis_clients import threads_client
from config.settings import Settings
from contract import names
from contract.answer import FinalAnswer
from contract.question import Question

BIN = Path(sys.executable).parent
TIMEOUT_S = 90


class StackHome:
    """Runs `fennel` and `supervisorctl` for one home folder, `var/` in a folder that has our supervisord.conf.

    The folder is made below the system's temporary folder: a socket's path has 107 bytes at most.
    """

    def __init__(self, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fennel-cli-"))
        self.home = self.folder / "var"
        shutil.copy(CHECKOUT / "supervisord.conf", self.folder)
        self.settings = {
            "FENNEL_HOME": str(self.home),
            "FENNEL_ENGINE__KIND": "echo",
            "FENNEL_REDIS__PORT": "0",
            "FENNEL_WORKER__DRAIN_S": "5",
            **settings,
        }

    def fennel(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run the command and return when it ended."""
        return self.run("fennel", *arguments, **settings)

    def run(self, program: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, without any setting of the machine's own."""
        return subprocess.run(
            [str(BIN / program), *arguments],
            cwd=self.folder,
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )

    def environment(self, **settings: str) -> dict[str, str]:
        """The environment that the programs run in."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("FENNEL_", "SUPERVISOR_"))}
        return {**plain, **self.settings, **settings}

    def status(self) -> dict[str, Any]:
        """What `fennel status --json` says, without the second that a command takes to start."""
        return look(self.loaded())

    def loaded(self) -> Settings:
        """The settings as the programs read them now."""
        with patch.dict(os.environ, self.environment(), clear=True):
            return load_settings()

    def programs(self) -> dict[str, dict[str, Any]]:
        """The programs by name, as `fennel status` shows them."""
        return {program["name"]: program for program in self.status()["programs"]}

    def redis(self) -> redis.Redis:
        """A client of the embedded server, with an operator's rights."""
        return threads_client(self.loaded().redis_address, TIMEOUT_S)

    def remove(self) -> None:
        """Stop what runs and delete the folder."""
        if self.home.exists() and any((self.home / "run").glob("*s*")):
            stopped = self.fennel("down")
            assert stopped.returncode == 0, stopped.stderr
        shutil.rmtree(self.folder)


def ends(home: StackHome) -> list[str]:
    """The ids of the questions that have an end, once for each end."""
    with home.redis() as client:
        entries = client.xrange(names.answers_stream("test"))
    finals = [FinalAnswer.from_wire(fields["final"]) for _, fields in entries]
    return sorted(Question.from_wire(final.question).id for final in finals)


@contextmanager
def stack_home(**settings: str) -> Iterator[StackHome]:
    """A home folder for the length of a block."""
    home = StackHome(**settings)
    try:
        yield home
    finally:
        home.remove()
