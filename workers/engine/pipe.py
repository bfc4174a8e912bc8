"""What crosses the two pipes between a worker and its engine process.

Commands go down, reports come up, each one pickled object; both ends are of the same checkout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from config.sections import EngineSettings
from workers.engine.engine import GenerationEvent, GenerationRequest

HEARTBEAT_S = 1.0
"""How often an idle engine process says that it is there."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What the engine of the process is built with: `settings.kind` says which one, `slots` answers grow at once."""

    settings: EngineSettings
    models_folder: Path
    slots: int


@dataclass(frozen=True, slots=True)
class Submit:
    """Command: take this request."""

    request: GenerationRequest


@dataclass(frozen=True, slots=True)
class Cancel:
    """Command: give this request up."""

    request_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Command: end at once, with exit code 0."""


Command = Submit | Cancel | Stop


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """Report: how far loading is; `share` from 0 to 1."""

    what: str
    share: float


@dataclass(frozen=True, slots=True)
class Ready:
    """Report: the weights are loaded and a warm-up prompt has been answered; requests may come.

    Sent once for each time that weights were loaded. `about` is what the engine says of itself.
    """

    load_s: float
    about: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """Report: it will not become ready. `model_fault`: trying again would not help."""

    sentence: str
    model_fault: bool


@dataclass(frozen=True, slots=True)
class Stepped:
    """Report: one step was made, with all that came of it; without events also the heartbeat of an idle engine.

    `gpu_memory_bytes`: what the process holds on the GPU, told once a second; None in between.
    """

    events: tuple[GenerationEvent, ...] = ()
    gpu_memory_bytes: int | None = None


Report = LoadProgress | Ready | LoadFailed | Stepped
