"""`fennel restore`: all of a backup or nothing of it, whatever is wrong with the archive and whoever is killed."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.archive import ArchiveError
from cli.put_in_place import READY, commit, finish
from cli.stack import StackError
from config.environment import CHECKOUT
from tests.cli.backups import Home, archive, home, run_backup, run_restore
from tests.cli.program import FENNEL

__all__ = ["archive", "home"]  # fixtures
OLD, NEW = ("old",) * 3, ("new",) * 3


def test_an_empty_home_folder_gets_the_state_of_the_backup(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Index, Redis and gates are those of the backup, and what follows is told."""
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path / "empty"))
    restored = run_restore(archive)

    assert restored.exit_code == 0, restored.exception
    assert Home(tmp_path / "empty").words() == OLD
    assert "The knowledge base has 1 documents." in restored.output
    assert not [one.name for one in (tmp_path / "empty").iterdir() if one.name.startswith(".")]


def test_a_home_folder_with_data_is_replaced_only_when_that_is_said(archive: Path, home: Home) -> None:
    """Without --replace nothing is touched; with it nothing of the state before is left, and the settings stay."""
    (home.path / "fennel.toml").write_text('[bot]\nname = "ferry"\n')
    (home.path / "gate" / "other.json").write_text("{}")
    refused = run_restore(archive)
    before = home.words()
    replaced = run_restore(archive, "--replace")

    assert isinstance(refused.exception, ArchiveError)
    assert "holds data already (Redis, a knowledge base, gates): --replace puts" in str(refused.exception)
    assert (before, replaced.exit_code) == (NEW, 0), replaced.exception
    assert home.words() == OLD
    assert [one.name for one in (home.path / "gate").iterdir()] == ["default.json"]
    assert (home.path / "fennel.toml").read_text() == '[bot]\nname = "ferry"\n'


def test_settings_of_a_backup_lie_beside_those_of_the_home_folder(archive: Path, home: Home, tmp_path: Path) -> None:
    """Only a home folder without settings gets those of the backup: they lack the secrets."""
    (home.path / "fennel.toml").write_text('[slack]\nbot_token = "xoxb-1"\n')
    assert run_backup(tmp_path / "two.tar").exit_code == 0
    restored = run_restore(tmp_path / "two.tar", "--replace")
    (home.path / "fennel.toml").unlink()
    again = run_restore(tmp_path / "two.tar", "--replace")

    assert "Your fennel.toml stays as it is; the one of the backup is in fennel.toml.restored." in restored.output
    assert (home.path / "fennel.toml.restored").read_text() == "[slack]\n"
    assert (again.exit_code, (home.path / "fennel.toml").read_text()) == (0, "[slack]\n")


# --- what runs, what is full, who is killed


def test_a_running_stack_is_not_touched(archive: Path, home: Home) -> None:
    """Where a server works on the folder, the restore says so."""
    waiting = [sys.executable, "-c", "import time; time.sleep(60)"]
    command = [sys.executable, "-m", "cli.redis_server", str(home.path / "redis"), *waiting]
    with subprocess.Popen(command, cwd=CHECKOUT) as running:
        lock = home.path / "redis" / "server.lock"
        while not lock.exists() or lock.read_text() != str(running.pid):
            time.sleep(0.01)
        restored = run_restore(archive, "--replace")
        running.kill()

    assert isinstance(restored.exception, StackError)
    assert "`fennel down`" in str(restored.exception)
    assert home.words() == NEW


def test_a_full_disk_leaves_what_was_there(archive: Path, home: Home) -> None:
    """The restore ends with a sentence; the old state is whole, and nothing is left beside it."""

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    command = [*FENNEL, "restore", str(archive), "--replace"]
    failed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, preexec_fn=small)

    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert failed.stderr.startswith(f"fennel: the backup cannot be restored into {home.path} (File too large)")
    assert home.words() == NEW
    assert not list(home.path.glob(".re*"))


def test_a_restore_that_is_killed_leaves_one_state(archive: Path, home: Home) -> None:
    """Killed at any moment, what the next start finds is all of the old state or all of the new one."""
    seen = set()
    for number in range(8):
        command = [*FENNEL, "restore", str(archive), "--replace"]
        with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and not list(home.path.glob(".restore*")):
                time.sleep(0.002)
            time.sleep(0.06 * number)
            process.send_signal(signal.SIGKILL)
        finish(home.path)
        state = home.words()
        assert state in (OLD, NEW)
        seen.add(state)
        if state == OLD:
            home.fill("new")
    assert run_restore(archive, "--replace").exit_code == 0
    assert not list(home.path.glob(".re*"))


class KilledError(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", range(12))
def test_what_was_begun_is_finished_from_any_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Cut off before any of its renames, the swap is done again from there, also where folders were made meanwhile."""
    home, unpacked = tmp_path / "home", tmp_path / "home" / "unpacked"
    names = ("redis/appendonlydir/a", "knowledge/index.sqlite3", "gate/default.json")
    for root, word in ((home, "old"), (unpacked, "new")):
        for name in names:
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text(word)
    (home / "knowledge" / "index.sqlite3-wal").write_text("old")
    steps, rename = iter(range(100)), Path.rename

    def rename_or_end(path: Path, target: Path) -> Path:
        if next(steps) == step:
            raise KilledError
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_or_end)
    try:
        commit(unpacked, home)
        finish(home)
    except KilledError:
        shutil.copytree(home, tmp_path / "as it was left")
    monkeypatch.undo()
    committed = (home / READY).exists()
    for folder in ("redis/appendonlydir", "knowledge"):
        (home / folder).mkdir(parents=True, exist_ok=True)  # as any command makes them
    finish(home)

    word = "old" if step == 0 and not committed else "new"
    assert {(home / name).read_text() for name in names} == {word}
    assert (home / "knowledge" / "index.sqlite3-wal").exists() == (word == "old")
    assert not (home / READY).exists()
