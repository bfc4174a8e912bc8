"""`fennel restart`: everything, or one program."""

from __future__ import annotations

import click

from cli.down import KILL_S, stop_stack
from cli.rolling import Roll
from cli.stack import Stack, StackError
from cli.up import up
from config.loading import load_settings


@click.command()
@click.argument("program", required=False)
@click.option("--rolling", is_flag=True, help="One program after another, while the others go on answering.")
@click.pass_context
def restart(ctx: click.Context, program: str | None, rolling: bool) -> None:
    """Stop and start everything in order, so that changed settings count; or one PROGRAM.

    With --rolling, as for a new version: workers one after another, each ready before the next, then the bots. It
    stops at the first that does not come up. Redis is not restarted, and changed variables of the environment do not
    count; those in .env and in fennel.toml do.
    """
    settings = load_settings()
    stack = Stack(settings)
    if rolling and program:
        raise click.UsageError("--rolling restarts all programs; without it PROGRAM is restarted alone")
    if rolling:
        Roll(stack, settings).run()
        return
    if program is None:
        stop_stack(stack)
        ctx.invoke(up, wait=True, foreground=False, nodaemon=False)
        return
    found = [one for one in stack.programs() if program in (one.name, one.full_name, one.group)]
    if not found:
        known = ", ".join(one.name for one in stack.programs())
        raise StackError(f"there is no program {program}: the programs are {known}")
    stack.stop_programs([one for one in found if one.running], stack.stop_wait_s + KILL_S)
    for one in found:
        stack.start_program(one.full_name)
    click.echo(f"Restarted {', '.join(one.name for one in found)}.")
