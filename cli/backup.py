"""`fennel backup`: Redis and the knowledge base in one file, while everything runs."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import re
import time
from pathlib import Path
from typing import IO

import click

from cli.append_only import FOLDER, Frozen, frozen
from cli.archive import FORMAT, ArchiveError, Head, Manifest, Writer
from cli.copying import CopyingBar
from cli.index_copy import copy_index
from cli.settings_copy import without_secrets
from cli.work_folder import remove_left_behind, work_folder, write_through
from config.loading import load_settings
from config.settings import HOME_FILE, Settings
from contract.wire import WIRE_VERSION

NAME = "fennel-%Y%m%d-%H%M%S.tar.gz"
MADE_BY_US = re.compile(r"fennel-\d{8}-\d{6}\.tar\.gz")
SUFFIXES = (".tar", ".gz", ".tgz")
"""A file's name ends with one of these; any other name is a folder's."""
LEFT_OUT = (
    "models: they are fetched again",
    "logs",
    "secrets: the tokens and passwords in the settings, .env, the login of WeChat, files of certificates",
)
MEGABYTE = 1e6


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Of the backups in the folder keep the newest N.")
def backup(target: Path, keep: int | None) -> None:
    """Write Redis, the knowledge base, the gates and the settings into one file, while everything runs.

    TARGET is a file where its name ends with .tar, .tar.gz or .tgz. Every other name is that of a folder, which is made
    where it is missing; the file in it is named by the time. The file appears when it is whole; one of that name stays
    as it is until then. Secrets, models and logs are left out. `fennel restore` is the way back.
    """
    settings = load_settings()
    is_folder = target.is_dir() or not target.name.endswith(SUFFIXES)
    if keep is not None and not is_folder:
        raise click.UsageError(f"--keep counts the backups in a folder, and {target} is none")
    file = target / time.strftime(NAME, time.gmtime()) if is_folder else target
    try:
        if is_folder:
            _make_folder(target)
            remove_left_behind(target.glob(".fennel-*.work"))
        with work_folder(file.with_name(f".{file.name}.work")) as work:
            manifest = _write(settings, work)
            (work / "archive").replace(file)
            write_through(file.parent)
        removed = _remove_old(target, keep) if keep else []
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise ArchiveError(f"the backup cannot be written to {file.parent}: {error.strerror}{where}") from error
    click.echo(f"{file}: {file.stat().st_size / MEGABYTE:.1f} MB with {_told(manifest)}.")
    for sentence in manifest.left_out:
        click.echo(f"  left out: {sentence}")
    for old in removed:
        click.echo(f"  removed: {old.name}")


def _make_folder(folder: Path) -> None:
    """Make the folder where it is missing. The one above has to be there: it may be a disk that is not mounted."""
    if folder.exists() and not folder.is_dir():
        raise ArchiveError(
            f"{folder} is no folder, and the name of a backup's file ends with .tar, .tar.gz or .tgz: name another"
        )
    folder.mkdir(mode=0o700, exist_ok=True)


def _write(settings: Settings, work: Path) -> Manifest:
    """Write the archive in the work folder, and have the disk keep it."""
    left_out = [*LEFT_OUT]
    index: Path | None = settings.index_file if settings.index_file.exists() else None
    if settings.knowledge.postgres_url.get_secret_value():
        index = None
        left_out.append("the knowledge base: it is in PostgreSQL; docs/operations.md says how to save it")
    if settings.uploads_folder.is_dir():
        left_out.append(f"what was sent to the web page: save {settings.uploads_folder} as you save files")
    small = _small_parts(settings, left_out)
    with contextlib.ExitStack() as stack:
        redis_files: list[Frozen] = []
        if settings.redis.is_embedded:
            redis_files = stack.enter_context(frozen(settings.redis_folder / FOLDER))
        else:
            left_out.append("Redis: it is a server of yours; docs/operations.md says how to save it")
        # Redis before the index: what it says of knowledge bases is true of those that are copied a moment later.
        made_at_s = time.time()
        if not redis_files and index is None and not small:
            raise ArchiveError(f"there is nothing in {settings.home} to back up")
        total_bytes = sum(one.size_bytes for one in redis_files) + (2 * index.stat().st_size if index else 0)
        bar = stack.enter_context(CopyingBar(total_bytes))
        form = copy_index(index, work / "index", lambda count: bar.show("the knowledge base", count)) if index else 0
        head = Head(FORMAT, importlib.metadata.version("fennel"), WIRE_VERSION, form, made_at_s)
        file = stack.enter_context((work / "archive").open("wb"))
        writer = Writer(file, head, compressed=_is_compressed(work), progress=bar.show)
        for one in redis_files:
            writer.add(f"redis/{FOLDER}/{one.name}", one.file, one.size_bytes)
        if index:
            _add(writer, "knowledge/index.sqlite3", stack.enter_context((work / "index").open("rb")))
        for name, content in small.items():
            _add(writer, name, io.BytesIO(content))
        manifest = writer.close(tuple(left_out))
    (work / "archive").chmod(0o600)
    write_through(work / "archive")
    return manifest


def _is_compressed(work: Path) -> bool:
    return work.stem.endswith((".gz", ".tgz"))


def _small_parts(settings: Settings, left_out: list[str]) -> dict[str, bytes]:
    """What was learned for the gate, and the settings; `left_out` is told which of those are secrets."""
    parts = {f"gate/{file.name}": file.read_bytes() for file in sorted(settings.gate_folder.glob("*.json"))}
    with contextlib.suppress(FileNotFoundError):
        toml, secret_keys = without_secrets((settings.home / HOME_FILE).read_text(encoding="utf-8"))
        parts[HOME_FILE] = toml.encode()
        if secret_keys:
            left_out.append(f"of {HOME_FILE}: {', '.join(secret_keys)}")
    return parts


def _add(writer: Writer, name: str, file: IO[bytes]) -> None:
    size_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    writer.add(name, file, size_bytes)


def _remove_old(folder: Path, keep: int) -> list[Path]:
    """Remove all but the newest backups of ours; their names are in the order of time."""
    ours = sorted(file for file in folder.iterdir() if MADE_BY_US.fullmatch(file.name))
    for old in ours[:-keep]:
        old.unlink()
    return ours[:-keep]


def _told(manifest: Manifest) -> str:
    kinds = {"redis": "Redis", "knowledge": "the knowledge base", "gate": "the gates", HOME_FILE: "the settings"}
    sizes: dict[str, int] = {}
    for part in manifest.parts:
        kind = kinds[part.name.partition("/")[0]]
        sizes[kind] = sizes.get(kind, 0) + part.size_bytes
    return ", ".join(f"{kind} ({size / MEGABYTE:.1f} MB)" for kind, size in sizes.items())
