"""Where the console's chat is seen: a terminal that is redrawn, or plain lines in a pipe or a file."""

from __future__ import annotations

from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from bot.platform import Reply
from bot.platforms.console.typist import CHANNEL


class Screen(Protocol):
    """What a screen can do."""

    def tell(self, text: str) -> None:
        """Show a sentence of the terminal's own."""

    def ask(self, prompt: str) -> None:
        """Show who is to speak."""

    def show(self, reply_id: str, reply: Reply) -> None:
        """Show a reply as it is now, the end of it for good."""

    def close(self) -> None:
        """Nothing is shown any more."""


class LineScreen:
    """Prints whole replies, and a notice once; what grows is printed when it is grown."""

    def __init__(self, bot_name: str, console: Console | None = None) -> None:
        self._bot_name = bot_name
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._noticed: set[str] = set()

    def tell(self, text: str) -> None:
        """Print it."""
        self._console.print(Text(text))

    def ask(self, prompt: str) -> None:
        """Print nothing: nobody looks."""

    def show(self, reply_id: str, reply: Reply) -> None:
        """Print the end, or the first notice."""
        if reply.outcome is not None:
            self._noticed.discard(reply_id)
        elif not reply.is_notice or reply_id in self._noticed:
            return
        else:
            self._noticed.add(reply_id)
        self._console.print(_reply_text(self._bot_name, reply))

    def close(self) -> None:
        """Nothing is left open."""


class LiveScreen:
    """Redraws the growing replies below what is said; an end is printed above them and stays."""

    def __init__(self, bot_name: str, console: Console | None = None) -> None:
        self._bot_name = bot_name
        self._console = console or Console(highlight=False)
        self._growing: dict[str, Reply] = {}
        self._live: Live | None = None
        self._prompt = ""

    def tell(self, text: str) -> None:
        """Print it."""
        self._console.print(Text(text, style="dim"))

    def ask(self, prompt: str) -> None:
        """Print the prompt, unless a growing reply stands where it would be."""
        self._prompt = prompt
        if self._live is None:
            self._console.print(Text(prompt, style="bold"), end="")

    def show(self, reply_id: str, reply: Reply) -> None:
        """Redraw what grows, or print the end."""
        if reply.outcome is None:
            self._growing[reply_id] = reply
            self._redraw()
            return
        self._growing.pop(reply_id, None)
        if self._live is None:
            # Off the line with the prompt.
            self._console.print()
        self._redraw()
        self._console.print(_reply_text(self._bot_name, reply))
        self.ask(self._prompt)

    def close(self) -> None:
        """Take away what grows."""
        self._growing.clear()
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _redraw(self) -> None:
        if not self._growing:
            self.close()
            return
        if self._live is None:
            self._console.print()
            self._live = Live(console=self._console, transient=True, auto_refresh=False)
            self._live.start()
        self._live.update(
            Group(*(_reply_text(self._bot_name, reply) for reply in self._growing.values())), refresh=True
        )


def _reply_text(bot_name: str, reply: Reply) -> Text:
    """The reply with who it is for. Text, never markup: what the model writes does not steer the terminal."""
    question = reply.question
    where = "" if question.thread == CHANNEL else f" [{question.thread}]"
    return Text.assemble(
        (f"{bot_name} → {question.asker_name}{where}: ", "bold green"),
        ("".join(f"@{person} " for person in reply.mentions), "bold"),
        (reply.text, "dim" if reply.is_notice else ""),
        (f"\n{reply.sources}" if reply.sources else "", "dim"),
    )
