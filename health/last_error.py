"""The last error of each program, kept in the home folder: a program that ended cannot be asked any more."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace

from config.settings import Settings

SUFFIX = ".error"
MAX_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True)
class LastError:
    """What went wrong, in one sentence, and when (Unix time). `count`: how often since all was well; 0: it is again."""

    says: str
    at_s: float
    count: int


def note_error(settings: Settings, program: str, says: str) -> LastError:
    """Keep the sentence, and count it. A home folder that cannot be written keeps none."""
    before = read_errors(settings).get(program)
    error = LastError(" ".join(says.split())[:MAX_CHARACTERS], time.time(), before.count + 1 if before else 1)
    _write(settings, program, error)
    return error


def note_well(settings: Settings, program: str) -> None:
    """All is well with the program: its last error is history."""
    before = read_errors(settings).get(program)
    if before and before.count:
        _write(settings, program, replace(before, count=0))


def _write(settings: Settings, program: str, error: LastError) -> None:
    file = settings.health_folder / f"{program}{SUFFIX}"
    unfinished = file.with_suffix(".unfinished")
    try:
        unfinished.write_text(json.dumps(asdict(error)))
        unfinished.rename(file)
    except OSError:  # the disk is full perhaps, which is told as a finding of its own
        return


def read_errors(settings: Settings) -> dict[str, LastError]:
    """The last error of each program that ever had one."""
    errors = {}
    for file in settings.health_folder.glob(f"*{SUFFIX}"):
        try:
            errors[file.stem] = LastError(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):  # not ours
            continue
    return errors
