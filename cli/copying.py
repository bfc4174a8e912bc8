"""A bar for copies on a terminal, by bytes; elsewhere nothing, so that a job by the clock says only how it ended."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn


class CopyingBar:
    """Shows how many of `total_bytes` are copied, on stderr."""

    def __init__(self, total_bytes: int) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("", total=max(1, total_bytes))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, what: str, count: int) -> None:
        """So many bytes more of this are copied."""
        self._progress.update(self._task, description=what, advance=count)
