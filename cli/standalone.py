"""Everything in one terminal, without supervisord: the same programs, each started fresh, drained by Ctrl-C.

``python -m cli.standalone [PLATFORM]``: with a platform that bot alone; with ``console`` a chat in this terminal. What
has touched torch or CUDA before does not matter to it: its programs share no memory with whoever started it.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TextIO

import click

from bot.registry import PLATFORMS
from cli import preflight
from cli.child import Child
from cli.leftovers import find_leftovers, stop_leftovers
from cli.program_spec import ProgramSpec, read_specs
from cli.put_in_place import finish
from cli.readiness import wait_until_ready
from cli.stack import CONFIG_FILE, Program, Stack, StackError
from config.environment import CHECKOUT
from config.loading import load_settings
from config.settings import Settings
from config.settings_error import SettingsError
from contract.errors import FennelError
from health.parent import end_with_parent

LOOK_EVERY_S = 0.5
CONSOLE = "console"
NAME_WIDTH = 10


class Standalone:
    """The programs of one home folder as children of this process; with a `platform`, somebody named that one."""

    def __init__(self, stack: Stack, specs: Sequence[ProgramSpec], platform: str | None = None) -> None:
        self.stack = stack
        # The terminal of a chat is the chat's.
        self._echo = platform != CONSOLE
        self._printing = threading.Lock()
        self._stop = threading.Event()
        self._force = threading.Event()
        # By these a later start finds what a killed one of us left behind.
        environment = {**stack.environment(), "SUPERVISOR_SERVER_URL": stack.server_url, **_switched_on(platform)}
        logs = stack.settings.logs_folder
        self._children = [
            Child(
                spec,
                CHECKOUT,
                {**environment, "SUPERVISOR_PROCESS_NAME": spec.name, "FENNEL_SUPERVISOR_PROGRAM": spec.name},
                logs / f"{spec.name}.log",
                self._show,
            )
            for spec in specs
        ]

    def programs(self) -> list[Program]:
        """How the programs stand; those whose time has come are started again. Raises Interrupted after Ctrl-C."""
        if self._stop.is_set():
            raise InterruptedError
        for child in self._children:
            child.look()
        return [child.program for child in self._children]

    def log_tail(self, program: str, lines: int) -> list[str]:
        """The last lines that a program printed."""
        return self.stack.log_tail(program, lines)

    def request_stop(self, *_: object) -> None:
        """Drain; asked a second time: end at once."""
        if self._stop.is_set():
            self._force.set()
        self._stop.set()

    def start(self) -> None:
        """Start all programs; each waits by itself for what it needs."""
        for child in self._children:
            child.start()

    def watch(self) -> None:
        """Keep them up until `request_stop`."""
        while not self._stop.wait(LOOK_EVERY_S):
            self.programs()

    def drain(self) -> None:
        """Stop bots, then workers when they have finished, then Redis."""
        self._stop.set()
        last_first = sorted(self._children, key=lambda child: -child.spec.priority)
        for _, group in groupby(last_first, key=lambda child: child.spec.priority):
            together = list(group)
            for child in together:
                child.ask_to_stop()
            for child in together:
                self._wait(child)

    def _wait(self, child: Child) -> None:
        waited_s = 0.0
        while not child.wait(LOOK_EVERY_S):
            waited_s += LOOK_EVERY_S
            if self._force.is_set() or waited_s > child.spec.stop_wait_s:
                child.kill()
                return

    def _show(self, program: str, line: str) -> None:
        if self._echo:
            with self._printing:
                click.echo(f"{program:{NAME_WIDTH}} │ {line}")


def run(settings: Settings, platform: str | None = None) -> int:
    """Start everything, or with a `platform` no other bot, and stay until Ctrl-C; returns the exit code."""
    settings.make_folders()
    stack = Stack(settings)
    with alone(settings):
        if stack.pid() is not None:
            raise StackError("Fennel is running already under supervisord; `fennel down` stops it")
        stop_leftovers(find_leftovers(stack), stack.stop_wait_s)
        finish(settings.home)  # what a restore that was cut off had begun
        preflight.check(settings)
        wanted = [
            spec
            for spec in read_specs(CONFIG_FILE, stack.environment())
            if spec.autostart
            and (platform is None or not spec.name.startswith("bot_") or spec.name == f"bot_{platform}")
        ]
        standalone = Standalone(stack, wanted, platform)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, standalone.request_stop)
        try:
            standalone.start()
            return _serve(standalone, settings, platform)
        except InterruptedError:
            return 0
        finally:
            click.echo("Stopping: what is in hand is finished first; Ctrl-C again ends it at once.", err=True)
            standalone.drain()


def _switched_on(platform: str | None) -> dict[str, str]:
    """The switch of a platform that somebody has named, and that needs no more than that."""
    entry = PLATFORMS.get(platform or "")
    return {f"FENNEL_{platform}__ENABLED".upper(): "true"} if entry is not None and entry.needs_switch else {}


def _serve(standalone: Standalone, settings: Settings, platform: str | None) -> int:
    wait_until_ready(standalone, settings)
    if platform == CONSOLE:
        # In our own process group: the terminal is this child's, and Ctrl-C reaches both.
        with subprocess.Popen(
            [sys.executable, "-m", "bot", CONSOLE], cwd=CHECKOUT, env=standalone.stack.environment()
        ) as console:
            return console.wait()
    click.echo("Fennel is ready; Ctrl-C stops it.")
    standalone.watch()
    return 0


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold the home folder's standalone lock; raises StackError where another terminal holds it."""
    with _lock_file(settings) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(
                f"Fennel is running already in another terminal (process {_read(file)}); `fennel down` stops it"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def holder(settings: Settings) -> int | None:
    """The process that runs everything in a terminal; None where there is none."""
    if not settings.run_folder.is_dir():
        return None
    with _lock_file(settings) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            written = _read(file)
            return int(written) if written.isdigit() else None
        return None


def _read(file: TextIO) -> str:
    file.seek(0)
    return file.read()


def _lock_file(settings: Settings) -> TextIO:
    return (settings.run_folder / "standalone.pid").open("a+")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m cli.standalone", description=__doc__)
    parser.add_argument("platform", nargs="?")
    platform = parser.parse_args().platform
    if platform is not None:
        end_with_parent()  # `python -m bot … --standalone`, which waits for us
    try:
        return run(load_settings(), platform)
    except FennelError as error:
        click.echo(f"fennel: {error}", err=True)
        return 2 if isinstance(error, SettingsError) else 1


if __name__ == "__main__":
    sys.exit(main())
