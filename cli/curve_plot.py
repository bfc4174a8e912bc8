"""Precision and recall as a picture, where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cli.plot_file import save

if TYPE_CHECKING:
    from workers.gates.curve import Curve


def draw(file: Path, curves: Mapping[str, Curve], precision: float) -> None:
    """Draw the curves, the first one thick, with a line at the precision that is wanted."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    for number, (name, curve) in enumerate(curves.items()):
        label = f"{name}: {curve.recall_at(precision):.0%}"
        axes.plot(curve.recall, curve.precision, label=label, linewidth=2.5 if number == 0 else 1)
    axes.axhline(precision, color="grey", linestyle=":", linewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall: share of the good questions that are answered")
    axes.set_ylabel("precision: share of the answers that are right")
    axes.legend(title=f"recall at {precision:.0%}", loc="lower left")
    save(figure, file)
