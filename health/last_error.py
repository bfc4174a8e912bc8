"""The last error of each program, kept in the home folder: a program that ended cannot be asked any more."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass

from config.settings import Settings

SUFFIX = ".error"
MAX_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True)
class LastError:
    """What went wrong, in one sentence, and when (Unix time)."""

    says: str
    at_s: float


def note_error(settings: Settings, program: str, says: str) -> None:
    """Keep the sentence until the program is well again. A home folder that cannot be written keeps none."""
    error = LastError(" ".join(says.split())[:MAX_CHARACTERS], time.time())
    file = settings.health_folder / f"{program}{SUFFIX}"
    unfinished = file.with_suffix(".unfinished")
    try:
        unfinished.write_text(json.dumps(asdict(error)))
        unfinished.rename(file)
    except OSError:  # the disk is full perhaps, which is told as a finding of its own
        return


def clear_error(settings: Settings, program: str) -> None:
    """All is well with the program."""
    (settings.health_folder / f"{program}{SUFFIX}").unlink(missing_ok=True)


def read_errors(settings: Settings) -> dict[str, LastError]:
    """The last errors by program."""
    errors = {}
    for file in settings.health_folder.glob(f"*{SUFFIX}"):
        try:
            errors[file.stem] = LastError(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):  # cleared at this moment, or not ours
            continue
    return errors
