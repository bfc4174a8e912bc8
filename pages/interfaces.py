"""The table of interfaces, as wide as their fakes are long."""

from __future__ import annotations

from benchmarks.house import House
from benchmarks.interfaces import as_markdown, interfaces
from config.environment import CHECKOUT


def table_of_all() -> str:
    """Each interface with its size, and those of its implementations and fakes."""
    return as_markdown(interfaces(House.read(CHECKOUT).trees))
