"""How a benchmark reports: a table for people, and JSON beside it with the machine it ran on."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).with_name("results")


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was with other things."""
    return {
        "cpu_count": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": [round(one, 2) for one in os.getloadavg()],
    }


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; the first column is the name of the row."""
    table = Table(title=title)
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*(f"{cell:,.1f}" if isinstance(cell, float) else str(cell) for cell in row))
    Console().print(table)


def write_results(name: str, results: Mapping[str, Any]) -> Path:
    """Write the figures to ``benchmarks/results/NAME.json``."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{name}.json"
    whole = {"measured_at": time.strftime("%Y-%m-%d", time.gmtime()), "machine": machine(), **results}
    file.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    print(f"written: benchmarks/results/{file.name}")
    return file
