"""`fennel restart`: everything, or one program."""

from __future__ import annotations

import click

from cli.down import KILL_S, stop_stack
from cli.stack import Stack, StackError
from cli.up import up
from config.settings import load_settings


@click.command()
@click.argument("program", required=False)
@click.pass_context
def restart(ctx: click.Context, program: str | None) -> None:
    """Stop and start everything in order, so that changed settings count; or one PROGRAM."""
    stack = Stack(load_settings())
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
