"""The weeks as a picture, where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cli.plot_file import save
from cli.weeks import Week


def draw(file: Path, weeks: Sequence[Week]) -> None:
    """Draw how the questions of each week ended, and what people thought of the answers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    names = [week.name for week in weeks]
    answered = [week.answered for week in weeks]
    missed = [week.not_found for week in weeks]
    others = [week.asked - week.answered - week.not_found for week in weeks]
    upper.bar(names, answered, label="answered")
    upper.bar(names, missed, bottom=answered, label="not found")
    upper.bar(names, others, bottom=[a + b for a, b in zip(answered, missed, strict=True)], label="other")
    lower.bar(names, [week.good for week in weeks], label="good", color="tab:green")
    lower.bar(names, [-week.bad for week in weeks], label="bad", color="tab:red")
    for axes, what in ((upper, "questions"), (lower, "feedback")):
        axes.set_ylabel(what)
        axes.legend(loc="upper left")
    save(figure, file)
