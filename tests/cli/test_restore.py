"""`fennel restore`: all of a backup or nothing of it, whatever is wrong with the archive and whoever is killed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.archive import ArchiveError
from cli.put_in_place import READY, commit, finish
from cli.stack import StackError
from config.settings import CHECKOUT
from tests.cli.backups import Home, run_backup, run_restore
from tests.cli.test_backup import FENNEL

OLD, NEW = ("old",) * 3, ("new",) * 3


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A backup of the state "old"."""
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path / "first"))
    Home(tmp_path / "first").fill("old")
    file = tmp_path / "old.tar"
    assert run_backup(file).exit_code == 0
    return file


@pytest.fixture
def home(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Another home folder, in the state "new"."""
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path / "home"))
    one = Home(tmp_path / "home")
    one.fill("new")
    return one


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


# --- an archive that is none


def refused(archive: Path, home: Home) -> str:
    """What the restore of a bad archive says; asserts that nothing has changed."""
    before = {path: path.read_bytes() for path in home.path.rglob("*") if path.is_file() and "run" not in path.parts}
    restored = run_restore(archive, "--replace")
    after = {path: path.read_bytes() for path in home.path.rglob("*") if path.is_file() and "run" not in path.parts}

    assert isinstance(restored.exception, ArchiveError), (restored.exception, restored.output)
    # The database's own lock may have come with our look into it.
    assert {path.name for path in before.keys() ^ after.keys()} <= {"server.lock", "index.lock"}
    assert all(after[path] == content for path, content in before.items())
    return str(restored.exception)


def test_an_archive_that_is_cut_off_anywhere_is_refused(archive: Path, home: Home, tmp_path: Path) -> None:
    """At each of many lengths, compressed or not."""
    whole = archive.read_bytes()
    packed = gzip.compress(whole)
    cut = tmp_path / "cut.tar"
    # Behind the list of parts a tar has nothing but zeros.
    last = max(index for index, byte in enumerate(whole) if byte)
    for content, end in ((whole, last - 512), (packed, len(packed) - 1)):
        for length in [0, 1, 511, 512, 1536, *random.Random(7).sample(range(end), 12), end]:
            cut.write_bytes(content[:length])
            sentence = refused(cut, home)
            assert "damaged or cut off" in sentence or "is cut off" in sentence or "is no backup" in sentence, sentence


def test_an_archive_with_a_wrong_byte_is_refused(archive: Path, home: Home, tmp_path: Path) -> None:
    """A part's sum tells; so does the tar's own of a name."""
    whole = archive.read_bytes()
    with tarfile.open(archive) as tar:
        starts = [(info.offset, info.offset_data, info.size) for info in tar]
    wrong = tmp_path / "wrong.tar"
    for offset, data, size in starts:
        for place in (offset + 2, data + size // 2):
            wrong.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
            refused(wrong, home)


def rewritten(archive: Path, target: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    """The archive with its members changed."""
    with tarfile.open(archive) as tar:
        members = [(info, tar.extractfile(info).read()) for info in tar]  # type: ignore[union-attr]
    change(members)
    with tarfile.open(target, "w") as tar:
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content))
    return target


def extra(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """A member that should not be there."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "member",
    [
        pytest.param(extra("../escaped"), id="up"),
        pytest.param(extra("/tmp/escaped"), id="absolute"),
        pytest.param(extra("redis/appendonlydir/../../escaped"), id="up inside"),
        pytest.param(extra("gate/x.json", tarfile.SYMTYPE, "/etc/passwd"), id="symbolic link"),
        pytest.param(extra("gate/x.json", tarfile.LNKTYPE, "knowledge/index.sqlite3"), id="hard link"),
        pytest.param(extra("gate/x.json", tarfile.FIFOTYPE), id="pipe"),
        pytest.param(extra("gate/x.json", tarfile.CHRTYPE), id="device"),
        pytest.param(extra("gate/default.json"), id="twice"),
        pytest.param(extra("run/supervisor.sock"), id="another folder"),
        pytest.param(extra("gate/\nx.json"), id="line"),
    ],
)
def test_an_archive_made_by_somebody_else_gets_nothing_out(
    archive: Path, home: Home, tmp_path: Path, member: tarfile.TarInfo
) -> None:
    """No path, link or device of an archive's own choosing is made; what is no part of a backup is named."""
    made = rewritten(archive, tmp_path / "made.tar", lambda members: members.insert(-1, (member, b"")))

    assert "which is no part of a backup" in refused(made, home)
    assert not list(tmp_path.rglob("escaped"))


def in_json(name: str, **changed: Any) -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]:
    """Change members of one of the two lists in an archive."""

    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        for place, (info, content) in enumerate(members):
            if info.name == name:
                members[place] = (info, json.dumps({**json.loads(content), **changed}).encode())

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (in_json("fennel-backup.json", format=2, fennel="9.0"), "was made by a newer Fennel (9.0), whose archives"),
        (in_json("fennel-backup.json", wire_version=2, fennel="9.0"), "was made by a newer Fennel (9.0), whose data"),
        (in_json("fennel-backup.json", format="x"), "damaged or cut off"),
        (in_json("manifest.json", parts=[]), "its parts are not those that it lists"),
        (in_json("manifest.json", parts=7), "damaged or cut off"),
        (lambda members: members.pop(0), "is no backup of Fennel"),
        (lambda members: members.pop(1), "its parts are not those that it lists"),
    ],
)
def test_an_archive_of_another_kind_is_refused(
    archive: Path, home: Home, tmp_path: Path, change: Callable[[Any], None], sentence: str
) -> None:
    """A newer one, one whose lists are wrong, and a tar of something else."""
    assert sentence in refused(rewritten(archive, tmp_path / "other.tar", change), home)


def with_part(name: str, content: bytes) -> Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]:
    """An archive in order whose part is spoilt."""

    def change(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        for place, (info, _) in enumerate(members):
            if info.name.endswith(name):
                members[place] = (info, content)
        info, listing = members[-1]
        body = json.loads(listing)
        for part in body["parts"]:
            if part["name"].endswith(name):
                part.update(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        members[-1] = (info, json.dumps(body).encode())

    return change


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("index.sqlite3", b"no database" * 1000, "the knowledge base in the archive cannot be read"),
        ("base.rdb", b"no snapshot" * 10, "Redis cannot load what is in the archive; it says: "),
        ("aof.manifest", b"file ../../x seq 1 type b\n", "Redis cannot load what is in the archive; it says: "),
    ],
)
def test_an_archive_whose_data_cannot_be_used_is_refused(
    archive: Path, home: Home, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    """What a server or the index would not start with is found before anything is replaced."""
    assert sentence in refused(rewritten(archive, tmp_path / "spoilt.tar", with_part(name, content)), home)


# --- what runs, what is full, who is killed


def test_a_running_stack_is_not_touched(archive: Path, home: Home) -> None:
    """Where a server works on the folder, the restore says so."""
    command = [sys.executable, "-m", "cli.redis_server", str(home.path / "redis"), "/bin/sleep", "60"]
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
