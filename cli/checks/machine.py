"""This machine: the files with settings, the home folder and its disk, and how processes are started."""

from __future__ import annotations

import multiprocessing
import stat
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from cli import preflight
from cli.stack import StackError
from config.environment import DOTENV_FILE
from config.settings import HOME_FILE, Settings
from config.settings_error import SettingsError
from contract.finding import Finding
from health.surroundings import free_mb

SPAWN_TIMEOUT_S = 30.0
HEAVY = ("torch", "transformers")


def findings(settings: Settings) -> list[Finding]:
    """All findings of the machine."""
    return [_secret_files(settings), *_home(settings), _start_method()]


def _secret_files(settings: Settings) -> Finding:
    """Whether files that may hold tokens are this user's alone."""
    files = [DOTENV_FILE, settings.home / HOME_FILE]
    is_open = [file for file in files if file.exists() and _others_may_read(file)]
    if is_open:
        names = " and ".join(str(file) for file in is_open)
        cure = "chmod 600 " + " ".join(f"'{file}'" for file in is_open)
        return Finding("settings", False, f"every user of this machine may read {names}", cure)
    return Finding("settings", True, f"read without a fault; the home folder is {settings.home}")


def _others_may_read(file: Path) -> bool:
    return bool(file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _home(settings: Settings) -> list[Finding]:
    try:
        settings.make_folders()
    except SettingsError as error:
        return [Finding("home folder", False, str(error), "set FENNEL_HOME to a folder that this user may write")]
    home = Finding("home folder", True, f"{settings.home} can be written")
    try:
        preflight.check_disk(settings)
    except StackError as error:
        what, _, cure = str(error).partition(": ")
        return [home, Finding("disk", False, what, cure)]
    return [home, Finding("disk", True, f"{free_mb(settings):,} MB are free below the home folder")]


def _start_method() -> Finding:
    """Start a process as the engine is started, and see that it comes, and comes without torch."""
    subject = "start method"
    context = multiprocessing.get_context("spawn")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_tell_modules, args=(writer,), daemon=True)
    process.start()
    writer.close()
    try:
        found: list[str] = reader.recv() if reader.poll(SPAWN_TIMEOUT_S) else ["nothing"]
    except EOFError:
        found = ["nothing"]
    finally:
        process.kill()
        process.join()
    if found == ["nothing"]:
        return Finding(subject, False, "a process started by spawn said nothing", "look whether /tmp can be written")
    if found:
        names = " and ".join(found)
        return Finding(
            subject, False, f"{names} is imported when Python starts, before any program of ours", _remove_hint()
        )
    return Finding(subject, True, "spawn works, and a new process has no torch in it")


def _tell_modules(writer: Connection) -> None:
    """Runs in the spawned process."""
    writer.send([name for name in HEAVY if name in sys.modules])


def _remove_hint() -> str:
    return f"take the import out of the .pth files or sitecustomize.py of {sys.prefix}"
