"""The shipped gate for tests: its weights and its embedder are read once in a process."""

from __future__ import annotations

import functools
from pathlib import Path

from workers.gates.learned import GateModels, LearnedGate
from workers.knowledge.embedder import Embedder, open_embedder

NOWHERE = Path("/nonexistent")


@functools.cache
def embedder() -> Embedder:
    """The embedder that the shipped weights were learned with."""
    return open_embedder("use-multilingual")


@functools.cache
def shipped_gate() -> LearnedGate:
    """A gate whose bases nobody has tuned."""
    return LearnedGate(GateModels(NOWHERE), embedder(), embedder().id)
