"""One answer on its way through an engine of this machine: its prompt in tokens, and what has been made of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from workers.engine.engine import FinishReason, GenerationEvent, GenerationRequest
from workers.engine.local.sampling import Sampler
from workers.engine.local.text import TextStream

# Turning tokens into text costs as much as the rest of a row's step on the CPU, and nobody reads that fast.
TELL_INTERVAL_S = 0.05
NO_ROW = -1


@dataclass(slots=True, eq=False)
class LocalAnswer:
    """`prompt`: empty until it has become tokens. `row`: its place among the decoder's rows, while it has one.

    `finish`: why it ended, once it has.
    """

    request: GenerationRequest
    limit: int
    sampler: Sampler
    text: TextStream
    prompt: list[int] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    row: int = NO_ROW
    finish: FinishReason | None = None
    error: str = ""
    told: int = 0  # tokens that `text` has been given
    tell_at_s: float = 0.0

    def tell(self, now_s: float) -> GenerationEvent | None:
        """The text that came since the last time, where it is time to tell it; the last event once it has ended."""
        if self.finish is None and now_s < self.tell_at_s:
            return None
        if self.finish == "error":
            return self.event(finish="error", error=self.error)
        new = self.text.push(*self.tokens[self.told :])
        self.told = len(self.tokens)
        if self.finish is not None:
            return self.event(new + self.text.finish(), self.finish)
        self.tell_at_s = now_s + TELL_INTERVAL_S if new else now_s
        return self.event(new) if new else None

    def event(self, text: str = "", finish: FinishReason | None = None, error: str = "") -> GenerationEvent:
        """An event with its counts."""
        return GenerationEvent(self.request.id, text, finish, error, len(self.prompt), len(self.tokens))
