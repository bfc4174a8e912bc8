"""A bar for copies, by bytes."""

from __future__ import annotations

from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn

from cli.terminal_bar import TerminalBar


class CopyingBar(TerminalBar):
    """Shows how many of `total_bytes` are copied."""

    def __init__(self, total_bytes: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        super().__init__(*columns, what="", whole=max(1, total_bytes))

    def show(self, what: str, count: int) -> None:
        """So many bytes more of this are copied."""
        self.update(what, advance=count)
