"""`fennel down`: stop everything, each when those who need it have stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import click

from cli import standalone
from cli.leftovers import find_leftovers, stop_leftovers
from cli.stack import Stack, StackError
from config.loading import load_settings

BOT_STOP_S = 30.0
REDIS_STOP_S = 70.0
"""Both a little more than stopwaitsecs in supervisord.conf, after which supervisord kills."""
KILL_S = 10.0
POLL_S = 0.1


@click.command()
def down() -> None:
    """Stop everything: bots, workers when they have finished, Redis."""
    stop_stack(Stack(load_settings()))


def _stop_in_terminal(stack: Stack, pid: int) -> None:
    """Have the process that runs everything in a terminal drain and end; raises StackError where it does not."""
    click.echo(f"Stopping what runs in another terminal (process {pid}) …", err=True)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    end_s = time.monotonic() + BOT_STOP_S + stack.stop_wait_s + KILL_S + REDIS_STOP_S
    # Its lock tells, and not its id: one that nobody waited for yet still has that.
    while standalone.holder(stack.settings) is not None:
        if time.monotonic() > end_s:
            raise StackError(f"the process {pid} did not stop in time; `fennel status` shows what is left")
        time.sleep(POLL_S)
    click.echo("Fennel has stopped.")


def stop_stack(stack: Stack) -> None:
    """Stop what runs and tell about it; nothing running is fine."""
    in_terminal = standalone.holder(stack.settings)
    if in_terminal is not None:
        _stop_in_terminal(stack, in_terminal)
        return
    if stack.pid() is None:
        leftovers = find_leftovers(stack)
        stop_leftovers(leftovers, stack.stop_wait_s)
        click.echo("Fennel was not running." if not leftovers else "Stopped what an earlier supervisord left behind.")
        return
    for title, prefix, timeout_s in (
        ("bots", "bot_", BOT_STOP_S),
        ("workers", "worker", stack.stop_wait_s + KILL_S),
        ("Redis", "redis", REDIS_STOP_S),
    ):
        programs = [program for program in stack.programs() if program.group.startswith(prefix) and program.running]
        if programs:
            click.echo(f"Stopping {title} …", err=True)
            stack.stop_programs(programs, timeout_s)
    stack.shut_down()
    click.echo("Fennel has stopped.")
