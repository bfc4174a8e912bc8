"""The file that a picture is drawn into."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import FennelError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_plot_file(file: Path) -> None:
    """Raise FennelError where nothing can be drawn there; to be asked before what is drawn takes its time."""
    if importlib.util.find_spec("matplotlib") is None:
        raise FennelError("--plot needs matplotlib: `pip install 'fennel[plot]'`, or leave --plot out")
    if not file.absolute().parent.is_dir():
        raise FennelError(f"there is no folder {file.absolute().parent} to draw {file.name} in")


def save(figure: Figure, file: Path) -> None:
    """Write the picture. Raises FennelError."""
    try:
        figure.savefig(file, dpi=120)
    except (OSError, ValueError) as error:
        raise FennelError(f"{file} cannot be drawn: {error}") from error
