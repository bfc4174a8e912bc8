"""The table of all metrics, out of the places where they are defined."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from config.environment import CHECKOUT
from pages.table import table

PACKAGES = ("bot", "cli", "config", "contract", "health", "workers")
KINDS = ("Counter", "Gauge", "GaugeMetricFamily", "Histogram")


@dataclass(frozen=True)
class Metric:
    """One metric as its definition tells it.

    Attributes:
        name: as Prometheus shows it, without a histogram's suffixes.
        kind: counter, gauge or histogram.
        labels: the labels' names.
        meaning: its help text.
        file: where it is defined.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    file: Path

    @property
    def shown(self) -> tuple[str, ...]:
        """The names of its series."""
        if self.kind == "histogram":
            return tuple(f"{self.name}_{suffix}" for suffix in ("bucket", "sum", "count"))
        return (self.name,)


def metrics() -> Iterator[Metric]:
    """Every metric that a program of Fennel has."""
    for package in PACKAGES:
        for file in sorted((CHECKOUT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
                    yield from _metric(node, node.func.id, file)


def _metric(call: ast.Call, kind: str, file: Path) -> Iterator[Metric]:
    if not (call.args and isinstance(call.args[0], ast.Constant)):
        return  # the Counter of collections has no name
    name = str(call.args[0].value)
    if kind == "Counter":
        name = f"{name.removesuffix('_total')}_total"
    labels = next((word.value for word in call.keywords if word.arg in ("labelnames", "labels")), None)
    labels = call.args[2] if labels is None and len(call.args) > 2 else labels
    yield Metric(
        name=name,
        kind=kind.removesuffix("MetricFamily").lower(),
        labels=tuple(ast.literal_eval(labels)) if labels is not None else (),
        meaning=str(ast.literal_eval(call.args[1])),
        file=file.relative_to(CHECKOUT),
    )


def table_of_all() -> str:
    """All metrics in a table, by name."""
    rows = [
        [f"`{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), _sentence(one), f"`{one.file}`"]
        for one in sorted(metrics(), key=lambda one: one.name)
    ]
    return table(["Metric", "Kind", "Labels", "Meaning", "Counted in"], rows)


def _sentence(metric: Metric) -> str:
    return metric.meaning.rstrip(".") + "."
