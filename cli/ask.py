"""`fennel ask`: one question, its answer as it grows, its sources.

Exit codes: 0 answered, 2 no question, 3 not in the knowledge base, 4 failed, too late, stopped, refused or too busy,
5 nothing is running.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import unicodedata
from typing import Protocol

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from bot import rendering
from bot.platform import Reply
from cli.asking import Asking
from cli.printing import JSON_OPTION, print_json
from cli.running import NothingRunningError
from config.loading import load_settings
from config.settings import Settings
from contract.answer import FinalAnswer, Outcome
from contract.errors import FennelError
from contract.question import Question

USAGE, NOT_FOUND, FAILED, NOTHING_RUNNING = 2, 3, 4, 5
EXIT_CODES = {Outcome.ANSWERED: 0, Outcome.SMALL_TALK: 0, Outcome.NOT_FOUND: NOT_FOUND}


@click.command()
@click.argument("question")
@JSON_OPTION
def ask(question: str, as_json: bool) -> None:
    """Ask one question and print the answer."""
    complaint = what_is_wrong_with(question)
    if complaint:
        click.echo(f"fennel: {complaint}", err=True)
        sys.exit(USAGE)
    settings, printer = load_settings(), _printer(as_json)
    try:
        asked, final = asyncio.run(_ask(settings, question, printer))
    except NothingRunningError as error:
        click.echo(f"fennel: {error.told}", err=True)
        sys.exit(NOTHING_RUNNING)
    except FennelError as error:
        click.echo(f"fennel: {error.told}", err=True)
        sys.exit(FAILED)
    printer.end(asked, final)
    sys.exit(EXIT_CODES.get(final.outcome, FAILED))


def what_is_wrong_with(question: str) -> str:
    """Why this cannot be a question, in one sentence; empty where it can."""
    if any(unicodedata.category(character) == "Cs" for character in question):
        return "the question is not UTF-8 text; check the terminal's encoding"
    if any(unicodedata.category(character) == "Cc" and character not in "\t\n\r" for character in question):
        return "the question has control characters in it; write it without them"
    if not question.strip():
        return 'the question is empty; write: fennel ask "…"'
    return ""


async def _ask(settings: Settings, text: str, printer: Printer) -> tuple[Question, FinalAnswer]:
    asking = Asking(settings, printer.grow)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asking.interrupted.set)
    try:
        return await asking.ask(text)
    finally:
        printer.close()


class Printer(Protocol):
    """Where an answer is printed."""

    def grow(self, reply: Reply) -> None:
        """Print the answer as far as it is made."""

    def close(self) -> None:
        """Nothing grows any more."""

    def end(self, question: Question, final: FinalAnswer) -> None:
        """Print the end."""


class TerminalPrinter:
    """Redraws the growing answer, and leaves the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, transient=True, auto_refresh=False, vertical_overflow="visible")

    def grow(self, reply: Reply) -> None:
        """Redraw it."""
        self._live.start()
        # Text, not markup and not Markdown: what the model writes does not steer the terminal.
        self._live.update(Text(reply.text), refresh=True)

    def close(self) -> None:
        """Take the growing answer away; the end comes in its place."""
        self._live.stop()

    def end(self, question: Question, final: FinalAnswer) -> None:
        """Print the answer, its sources, and how long it took."""
        reply = rendering.ended(question, final)
        self._console.print(Text(reply.text))
        if reply.sources:
            self._console.print(Text(f"\n{reply.sources}", style="dim"))
        self._console.print(Text(f"\n{timings(final)}", style="dim"))


class LinePrinter:
    """For a pipe or a file: prints only what is new of a growing answer."""

    def __init__(self) -> None:
        self._printed = ""

    def grow(self, reply: Reply) -> None:
        """Print the new end of the text; what is said before the answer begins goes to stderr."""
        if reply.is_notice:
            click.echo(reply.text, err=True)
        elif reply.text.startswith(self._printed):
            click.echo(reply.text.removeprefix(self._printed), nl=False)
            self._printed = reply.text

    def close(self) -> None:
        """Nothing is left open."""

    def end(self, question: Question, final: FinalAnswer) -> None:
        """Print the rest; the whole anew where the answer has become another than it grew to be."""
        reply = rendering.ended(question, final)
        if reply.text.startswith(self._printed):
            click.echo(reply.text.removeprefix(self._printed))
        else:
            click.echo(f"\n\n{reply.text}")
        if reply.sources:
            click.echo(f"\n{reply.sources}")
        click.echo(f"\n{timings(final)}")


class JsonPrinter:
    """One object, for programs."""

    def grow(self, reply: Reply) -> None:
        """Print nothing yet."""

    def close(self) -> None:
        """Nothing is left open."""

    def end(self, question: Question, final: FinalAnswer) -> None:
        """Print the object."""
        citations = [{"title": one.title, "source": one.source, "quote": one.quote} for one in final.citations]
        body = {
            "question_id": question.id,
            "outcome": final.outcome.value,
            "text": rendering.ended(question, final).text,
            "citations": citations,
            "queued_ms": final.queued_ms,
            "first_text_ms": final.first_text_ms,
            "total_ms": final.total_ms,
        }
        print_json(body)


def timings(final: FinalAnswer) -> str:
    """How long it took, for people."""
    queued, first, total = (f"{value / 1000:.1f} s" for value in (final.queued_ms, final.first_text_ms, final.total_ms))
    return f"queued {queued}, first text {first}, in all {total}"


def _printer(as_json: bool) -> Printer:
    if as_json:
        return JsonPrinter()
    return TerminalPrinter(Console(highlight=False)) if sys.stdout.isatty() else LinePrinter()
