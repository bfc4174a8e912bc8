"""`fennel web …`: what the web page needs."""

from __future__ import annotations

import sys

import click

from contract.errors import FennelError

FEWEST_CHARACTERS = 8


@click.group()
def web() -> None:
    """Set the web page up."""


@web.command()
@click.option("--operator", is_flag=True, help="Make the operators' password, which also opens their tabs.")
def password(operator: bool) -> None:
    """Ask for a password and print the setting that holds its hash.

    At a terminal it is asked for twice and not shown; else it is the first line of the input.
    """
    from argon2 import PasswordHasher

    if sys.stdin.isatty():
        chosen = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    else:
        chosen = sys.stdin.readline().rstrip("\r\n")
    if len(chosen) < FEWEST_CHARACTERS:
        raise FennelError(f"this password has {len(chosen)} characters: choose one of at least {FEWEST_CHARACTERS}")
    name = "FENNEL_WEB__OPERATOR_HASH" if operator else "FENNEL_WEB__PASSWORD_HASH"
    # Quoted, as a shell and .env would otherwise read the dollar signs.
    click.echo(f"{name}='{PasswordHasher().hash(chosen)}'")
    click.echo("Put this line into .env, then: fennel restart bot_web", err=True)
