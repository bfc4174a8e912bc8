"""Puts what was restored in the place of what there was: all of it, whenever the machine dies.

What is checked and ready lies in one folder of the home folder, and came there by one rename: before it the old state
holds, after it the new one, because whoever starts the programs finishes what was begun.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from cli.work_folder import write_through
from config.settings import HOME_FILE

READY = ".restored"
REPLACED = ("redis/appendonlydir", "knowledge", "gate")
BESIDE = f"{HOME_FILE}.restored"
"""Where the settings go in a home folder that has its own: those have the secrets in them."""


def commit(unpacked: Path, home: Path) -> None:
    """From here on the new state holds."""
    for path in sorted(unpacked.rglob("*")):
        write_through(path)
    unpacked.rename(home / READY)
    write_through(home)


def finish(home: Path) -> bool:
    """Put everything in its place; may be begun again after it was cut off anywhere. False where there is nothing."""
    ready = home / READY
    if not ready.is_dir():
        return False
    for name in REPLACED:
        _move(ready / name, home / name, ready)
    own = home / HOME_FILE
    _move(ready / HOME_FILE, home / BESIDE if own.exists() else own, ready)
    write_through(home)
    shutil.rmtree(ready)
    return True


def _move(new: Path, target: Path, ready: Path) -> None:
    """Move the new one to its place, the old one out of it; where that was done before, nothing."""
    if not new.exists():
        return
    if target.exists():
        # A name of its own: somebody may have made an empty folder where the old one was.
        target.rename(Path(tempfile.mkdtemp(prefix=".old-", dir=ready)) / target.name)
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new.rename(target)
    write_through(target.parent)
