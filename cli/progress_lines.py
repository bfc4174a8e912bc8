"""How far a command is, for programs: a JSON object a line."""

from __future__ import annotations

import json
import time
from typing import Any

import click
from rich.progress import Progress, TaskID

LINES_A_SECOND = 5.0


class ProgressLines(Progress):
    """Tells on stderr how far each task is, some times a second, and draws nothing."""

    _told_at_s = float("-inf")

    def refresh(self) -> None:
        """There is nothing to draw."""

    def update(self, task_id: TaskID, **how: Any) -> None:
        """Change the task, and tell how far it is."""
        super().update(task_id, **how)
        task = self._tasks[task_id]
        is_over = task.completed >= (task.total or float("inf"))
        if is_over or time.monotonic() - self._told_at_s > 1 / LINES_A_SECOND:
            self._told_at_s = time.monotonic()
            said = {"what": task.description, "done": int(task.completed), "whole": int(task.total or 0)}
            click.echo(json.dumps(said, ensure_ascii=False), err=True)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """As `update`."""
        self.update(task_id, advance=advance)
