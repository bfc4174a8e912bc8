"""`fennel up`: start everything."""

from __future__ import annotations

import contextlib
import fcntl
import sys
import time
from collections.abc import Iterator

import click

from cli import preflight, standalone
from cli.leftovers import find_leftovers, stop_leftovers
from cli.put_in_place import finish
from cli.readiness import wait_until_ready
from cli.stack import Stack, StackError
from config.environment import CHECKOUT
from config.loading import load_settings
from config.settings import Settings


@click.command()
@click.option("--wait", is_flag=True, help="Return when the model is loaded and questions are answered.")
@click.option("--foreground", is_flag=True, help="Everything in this terminal, without supervisord, until Ctrl-C.")
@click.option("--nodaemon", is_flag=True, help="Become supervisord and stay, for systemd or a container.")
def up(wait: bool, foreground: bool, nodaemon: bool) -> None:
    """Start everything and leave it running."""
    if wait + foreground + nodaemon > 1:
        raise click.UsageError("--wait, --foreground and --nodaemon exclude each other: two of them never return")
    settings = load_settings()
    if foreground:
        sys.exit(standalone.run(settings))
    settings.make_folders()
    stack = Stack(settings)
    started_at_s = time.monotonic()
    with _one_at_a_time(settings):
        pid = stack.pid()
        if pid is not None:
            click.echo(f"Fennel is running already (process {pid}, home {settings.home}).")
        else:
            _prepare(stack, settings)
            if nodaemon:
                stack.run_in_foreground()
            stack.start()
    if not wait:
        click.echo("Fennel is running; `fennel status` tells when the model is loaded.")
        return
    wait_until_ready(stack, settings)
    click.echo(f"Fennel is ready ({time.monotonic() - started_at_s:.1f} s). Its state is in {settings.home}.")
    click.echo(f"  {supervisorctl(settings)} status")
    click.echo('  fennel ask "…"    fennel chat    fennel status    fennel down')


def supervisorctl(settings: Settings) -> str:
    """The command that asks this stack's supervisord, run in the checkout."""
    default = settings.home == CHECKOUT / "var"
    return "supervisorctl" if default else f"supervisorctl -s unix://{settings.supervisor_socket}"


def _prepare(stack: Stack, settings: Settings) -> None:
    holder = standalone.holder(settings)
    if holder is not None:
        raise StackError(f"Fennel is running in another terminal (process {holder}); `fennel down` stops it")
    leftovers = find_leftovers(stack)
    if leftovers:
        click.echo(f"Stopping {len(leftovers)} programs that an earlier supervisord left behind.")
        stop_leftovers(leftovers, stack.stop_wait_s)
    if finish(settings.home):
        click.echo("A restore that was cut off has been finished.")
    preflight.check(settings)


@contextlib.contextmanager
def _one_at_a_time(settings: Settings) -> Iterator[None]:
    """Two that start the same stack at the same moment: the second waits, and finds it running."""
    with (settings.run_folder / "up.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
