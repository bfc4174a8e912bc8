"""The engine: what answers a prompt with text, many prompts at a time.

An engine lives in the engine process alone (`workers/engine/loop.py` there), which calls `step()` again and again.
The implementations stand in `workers/engine/engines/`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from contract.errors import FennelError

Progress = Callable[[str, float], None]
"""Is told what is done, and how far that is, from 0 to 1."""


class EngineError(FennelError):
    """The engine cannot answer; the sentence says why and what to do."""


class ModelError(EngineError):
    """The model cannot be loaded: missing files, too little memory, unknown id. Starting again would not help."""


@dataclass(frozen=True, slots=True)
class ChatTurn:
    """One turn of the prompt, in the terms of chat templates."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One prompt and the limits of its answer. `temperature` 0 is greedy; `seed` makes sampling repeatable."""

    id: str
    turns: tuple[ChatTurn, ...]
    max_new_tokens: int
    temperature: float = 0.0
    seed: int = 0


WARM_UP = GenerationRequest("warm-up", (ChatTurn("user", "Say hello."),), max_new_tokens=4)
"""What an engine has answered before it is ready."""

FinishReason = Literal["stop", "length", "cancelled", "too_long", "error"]


@dataclass(frozen=True, slots=True)
class GenerationEvent:
    """What became of a request since the last step: text that was added, and at the end the reason for it.

    The texts of a request's events, joined, are its answer; a character is never cut in two.
    `error` is a sentence where `finish` is "error" or "too_long"; "too_long" is for a prompt beyond the engine's limit,
    and `prompt_tokens` says by how much. `cost`: what a remote server takes for the whole answer, in the currency of
    the settings' prices, told at the end.
    """

    id: str
    text: str = ""
    finish: FinishReason | None = None
    error: str = ""
    prompt_tokens: int = 0
    new_tokens: int = 0
    cost: float = 0.0


def fault_of(request: GenerationRequest) -> str:
    """What is wrong with a request whatever the engine, as a sentence; empty where nothing is."""
    if not any(turn.content.strip() for turn in request.turns):
        return "the prompt is empty"
    if request.max_new_tokens < 1:
        return f"an answer of {request.max_new_tokens} tokens was asked for; one is the least"
    if not 0 <= request.temperature < math.inf:
        return f"the temperature {request.temperature} is no number from 0 on"
    return ""


class Engine(ABC):
    """Answers prompts. Called from one thread only; one request's failure never touches another's answer."""

    @abstractmethod
    def load(self, progress: Progress) -> None:
        """Load the weights and answer one warm-up prompt; `progress` is told how far it is.

        Raises ModelError where it cannot.
        """

    @abstractmethod
    def add(self, request: GenerationRequest) -> None:
        """Take a request; it joins the running batch at the next step. A bad one ends with an event "error".

        Raises nothing for a request that is merely bad: its event says so at the next step.
        """

    @abstractmethod
    def cancel(self, request_id: str) -> None:
        """Give up a request: it ends with an event "cancelled" at the next step. Unknown ids are ignored."""

    @abstractmethod
    def step(self) -> list[GenerationEvent]:
        """Bring every request a step further; returns at once with nothing where there is none."""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether a step would do something."""

    @property
    def about(self) -> Mapping[str, str]:
        """What to show of the engine once it is loaded: model, device, dtype and the like."""
        return {}

    def close(self) -> None:  # noqa: B027 -- nothing to free is a good answer
        """Free what `load` took."""
