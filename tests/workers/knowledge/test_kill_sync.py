"""A sync that is killed leaves the index as it was or as it was to be; `make kill-sync` does this at length."""

from __future__ import annotations

import os
from pathlib import Path

from tests.workers.knowledge.kill_sync import Killing


def test_a_killed_sync_leaves_the_old_or_the_new_state(tmp_path: Path) -> None:
    """After SIGKILL at a random moment the index is sound and whole, and the next sync brings the new state."""
    seed = int.from_bytes(os.urandom(4))
    killing = Killing(tmp_path, files=60, seed=seed)
    for _ in range(3):
        killing.kill_one()
    assert killing.outcomes.total() == 3, seed
