"""A real stack is backed up while people ask, goes on, is lost, and comes back out of the backup."""

from __future__ import annotations

import pytest

from tests.cli.slack_stage import Talk, slack_stage
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)


def test_a_stack_comes_back_out_of_a_backup_that_was_made_under_load() -> None:
    """Nobody notices the backup; after the restore the answers that are in the chat stay the only ones."""
    with slack_stage() as stage:
        home, file = stage.home, stage.home.folder / "b.tar.gz"
        with Talk(stage):
            until(lambda: len(stage.asked) > 10)
            made = home.fennel("backup", str(file))
            asked_by_then = len(stage.asked)
            until(lambda: len(stage.asked) > asked_by_then + 10)
        assert made.returncode == 0, made.stderr
        assert made.stderr == ""  # a job by the clock mails whatever is said there
        stage.wait_until_answered()
        running = home.fennel("restore", str(file), "--replace")
        home.fennel("down")
        restored = home.fennel("restore", str(file), "--replace")
        for command in (("up", "--wait"), ("kb", "list")):
            done = home.fennel(*command)
            assert done.returncode == 0, done.stderr

        assert (running.returncode, "`fennel down`" in running.stderr) == (1, True)
        assert restored.returncode == 0, restored.stderr
        assert "1 documents, 1 passages" in done.stdout
        # The bot reads back what was written while it was away, and sees what it has answered.
        until(lambda: stage.slack.connected() > 0)
        stage.ask()
        stage.wait_until_answered()
