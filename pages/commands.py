"""The help of every command, as the command itself prints it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from cli.main import fennel
from config.environment import CHECKOUT
from pages.table import table

WIDTH = 100
TARGET = re.compile(r"^(?P<name>[a-z-]+):.*?## (?P<meaning>.*)$", re.MULTILINE)


def commands(command: click.Command = fennel, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Every command with its subcommands, the group before what is in it."""
    name = (command.name or "").replace("_", "-")
    widths = {"max_content_width": WIDTH, "terminal_width": WIDTH}
    context = click.Context(command, info_name=name, parent=parent, **{**command.context_settings, **widths})
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None:
                yield from commands(found, context)


def help_of_all() -> str:
    """A heading and the help text for each command."""
    return "\n\n".join(
        f"{'##' if context.command_path.count(' ') < 2 else '###'} {context.command_path}\n\n"
        f"```text\n{context.get_help()}\n```"
        for context in commands()
    )


def make_targets() -> str:
    """What `make` offers."""
    text = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    rows = [[f"`make {found['name']}`", found["meaning"]] for found in TARGET.finditer(text)]
    return table(["Command", "What it does"], rows)
