"""`fennel …`: finds the command, and turns what goes wrong into a sentence and an exit code.

Exit codes: 1 something failed, 2 a setting or an argument is wrong; the commands name further ones of their own.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import cast

import click

from config.settings_error import SettingsError
from contract.errors import FennelError

# name: (where the click command is, its one line of help). A command's module is imported when it is called, so that
# `fennel --help` needs none of them.
COMMANDS = {
    "up": ("cli.up:up", "Start everything and leave it running."),
    "down": ("cli.down:down", "Stop everything: bots, workers when they have finished, Redis."),
    "restart": ("cli.restart:restart", "Stop and start everything, or one program."),
    "status": ("cli.status:status", "Show the programs, the queue and the engines."),
    "doctor": ("cli.doctor:doctor", "Say what is wrong and the command that mends it."),
    "backup": ("cli.backup:backup", "Write Redis and the knowledge base into one file, while everything runs."),
    "restore": ("cli.restore:restore", "Put a backup into the home folder."),
    "logs": ("cli.logs:logs", "Show what a program printed last."),
    "completion": ("cli.completion:completion", "Print what makes a shell complete these commands."),
    "kb": ("cli.kb:kb", "Add documents to the knowledge base, and look into it."),
    "model": ("cli.model:model", "Fetch models into the home folder, and look at them."),
    "why": ("cli.why:why", "Tell why a question was answered or not."),
    "ask": ("cli.ask:ask", "Ask one question and print the answer."),
    "chat": ("cli.chat:chat", "A terminal as a group chat."),
    "web": ("cli.web:web", "Make a password for the web page."),
    "redis": ("cli.redis:redis", "The users of Redis: their rights, and the URL for RQ's tools."),
    "forget-user": ("cli.forget_user:forget_user", "Remove what is kept of a person."),
    "feedback": ("cli.feedback:feedback", "What people think of the answers: list, export, report."),
    "demo": ("cli.demo:demo", "Start everything, ask the sample handbook a question, stop."),
}
FAILED = 1
WRONG_SETTING = 2


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click names it
        """The names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 -- click names it
        """Import the command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        return cast(click.Command, command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 -- click names it
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--traceback", "with_traceback", is_flag=True, help="Show where in the program a failure arose.")
@click.version_option(package_name="fennel")
def fennel(with_traceback: bool) -> None:
    """Answers questions in a team's chats out of the team's own documents, on the team's own machine."""


def main() -> None:
    """Run a command; every failure is one sentence on stderr."""
    with_traceback = "--traceback" in sys.argv[1:2]
    try:
        fennel()
    except SettingsError as error:
        _fail(error.told, WRONG_SETTING, with_traceback)
    except FennelError as error:
        _fail(error.told, FAILED, with_traceback)
    except Exception as error:
        # A fault of Fennel's own: the person gets a sentence all the same, and a way to show it to us.
        hint = "" if with_traceback else "; `fennel --traceback …` with the same words shows where"
        _fail(f"this should not have happened: {type(error).__name__}: {error}{hint}", FAILED, with_traceback)


def _fail(sentence: str, code: int, with_traceback: bool) -> None:
    if with_traceback:
        traceback.print_exc()
    click.echo(f"fennel: {sentence}", err=True)
    sys.exit(code)
