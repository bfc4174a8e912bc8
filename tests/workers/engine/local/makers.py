"""What the tests of the built-in model run in processes of their own; light to import."""

import os
import signal
import time
from pathlib import Path
from unittest.mock import patch

from workers.engine.engine import Progress
from workers.engine.local import gguf, smollm2


def quiet(what: str, share: float) -> None:
    """Progress that nobody looks at."""


def quick_convert(file: Path, folder: Path, progress: Progress) -> None:
    """In place of de-quantising: leaves a note of who made it, slowly enough that others come meanwhile."""
    folder.mkdir()
    time.sleep(0.3)
    with (folder.parent / "made").open("a") as made:
        made.write(f"{os.getpid()}\n")
    (folder / "config.json").write_text("{}")


def prepare_quickly(models_folder: Path) -> None:
    """What a worker does, but for the de-quantising."""
    with patch.object(gguf, "convert", quick_convert):
        smollm2.prepare(models_folder, quiet)


def half_made_and_killed(models_folder: Path) -> None:
    """A worker that is killed while it writes."""

    def convert(file: Path, folder: Path, progress: Progress) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{")
        os.kill(os.getpid(), signal.SIGKILL)

    with patch.object(gguf, "convert", convert):
        smollm2.prepare(models_folder, quiet)
