"""A worker's places: how many questions it has in hand at a time, and which."""

from __future__ import annotations

import threading

from workers.assignment import Assignment


class Places:
    """As many places as a worker may have questions in hand. Thread-safe.

    A place is taken before a job is, held by the assignment that the job becomes, and freed when that has ended.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._taken = 0
        self._assignments: dict[str, Assignment] = {}
        self._changed = threading.Condition()

    def take(self, timeout_s: float) -> bool:
        """Take a place; False where none becomes free within `timeout_s`."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._taken < self._count, timeout_s):
                return False
            self._taken += 1
            return True

    def hold(self, assignment: Assignment) -> None:
        """The place that was taken for this one is its own now."""
        with self._changed:
            self._assignments[assignment.execution.id] = assignment

    def free(self, assignment: Assignment | None = None) -> None:
        """Free a place: that of an assignment, or one that came to hold none."""
        with self._changed:
            if assignment is not None:
                self._assignments.pop(assignment.execution.id, None)
            self._taken -= 1
            self._changed.notify()

    @property
    def taken(self) -> int:
        """Places that are taken, also by jobs that are just being admitted."""
        return self._taken

    def held(self) -> list[Assignment]:
        """The assignments in hand."""
        with self._changed:
            return list(self._assignments.values())
