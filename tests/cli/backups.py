"""Home folders for tests of backups: with a knowledge base, and Redis' files written by a real server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner, Result

from cli.append_only import FOLDER
from cli.backup import backup
from cli.restore import restore
from tests.valkey import ValkeyServer
from tests.workers.knowledge.stores import EMBEDDER, document
from workers.knowledge.base import DEFAULT_BASE
from workers.knowledge.stores.embedded import EmbeddedStore


class Home:
    """A home folder. Its Redis is a server of the test, whose files stand where the embedded server's would."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = path / "knowledge" / "index.sqlite3"
        self.appended = path / "redis" / FOLDER

    def fill(self, word: str) -> None:
        """A state that can be told from another by its word, in the index, in Redis, in a gate and in the settings."""
        for folder in (self.index.parent, self.path / "gate"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        store = EmbeddedStore(self.index, EMBEDDER.id, EMBEDDER.dimensions)
        store.apply(DEFAULT_BASE, [document("page", f"The word is {word}.")])
        store.close()
        (self.path / "gate" / "default.json").write_text(f'{{"word": "{word}"}}')
        with self.server() as client:
            client.set("word", word)

    @contextmanager
    def server(self) -> Iterator[redis.Redis]:
        """A server that works on this home's files while the block runs."""
        (self.path / "redis").mkdir(mode=0o700, parents=True, exist_ok=True)
        server = ValkeyServer()
        if self.appended.exists():
            shutil.copytree(self.appended, server.folder / FOLDER)
        try:
            server.start()
            with redis.Redis(unix_socket_path=str(server.socket), decode_responses=True) as client:
                yield client
            server.stop()
            shutil.rmtree(self.appended, ignore_errors=True)
            shutil.copytree(server.folder / FOLDER, self.appended)
        finally:
            server.remove()

    def words(self) -> tuple[str, str, str]:
        """The word of each part of the state."""
        store = EmbeddedStore(self.index, EMBEDDER.id, EMBEDDER.dimensions)
        (passage,) = store.passages_of(DEFAULT_BASE, "page")
        store.close()
        with self.server() as client:
            word = str(client.get("word"))
        gate = (self.path / "gate" / "default.json").read_text()
        return passage.text.removeprefix("The word is ").rstrip("."), word, gate.split('"')[3]


def run_backup(*arguments: object) -> Result:
    """`fennel backup` in this process; an exception is the result's."""
    return CliRunner().invoke(backup, [str(one) for one in arguments])


def run_restore(*arguments: object) -> Result:
    """`fennel restore` in this process; an exception is the result's."""
    return CliRunner().invoke(restore, [str(one) for one in arguments])


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
