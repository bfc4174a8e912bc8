"""`fennel down`: stop everything, each when those who need it have stopped."""

from __future__ import annotations

import click

from cli.leftovers import find_leftovers, stop_leftovers
from cli.stack import Stack
from config.settings import load_settings

BOT_STOP_S = 30.0
REDIS_STOP_S = 70.0
"""Both a little more than stopwaitsecs in supervisord.conf, after which supervisord kills."""
KILL_S = 10.0


@click.command()
def down() -> None:
    """Stop everything: bots, workers when they have finished, Redis."""
    stop_stack(Stack(load_settings()))


def stop_stack(stack: Stack) -> None:
    """Stop what runs and tell about it; nothing running is fine."""
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
