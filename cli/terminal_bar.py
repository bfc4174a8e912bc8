"""A progress bar on a terminal's stderr; elsewhere nothing, so that a job by the clock says only how it ended."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, ProgressColumn


class TerminalBar:
    """One task with these columns, there from `with` to its end; the kinds of bars say what they show."""

    def __init__(self, *columns: ProgressColumn, what: str, whole: float) -> None:
        self.console = Console(stderr=True)
        self._progress = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self._task = self._progress.add_task(what, total=whole)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def update(self, what: str, *, advance: float | None = None, completed: float | None = None) -> None:
        """What is being done now, and how far it is: so much more, or so much in all."""
        self._progress.update(self._task, description=what, advance=advance, completed=completed)
