"""An answer that grows at a remote server."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from workers.engine.engine import ChatTurn, FinishReason, GenerationEvent, GenerationRequest
from workers.engine.prompt_text import WIDE_CHARACTERS, without_surrogates

# Nobody reads faster, and each event costs a trip through the pipe.
TELL_INTERVAL_S = 0.05
# For an estimate without the model's tokenizer: a Chinese, Japanese or Korean character is about one token; of other
# text a word of up to six letters is one, as is each further six letters, and each other mark.
_TOKEN = re.compile(rf"[{WIDE_CHARACTERS}]|[^\W_{WIDE_CHARACTERS}]{{1,6}}|[^\w\s]|_")
TOKENS_A_TURN = 4  # the marks around it
# What chat templates use as marks; a server may read them in the text of a turn as well.
MARKS = re.compile(r"<\|[^<>|\s]{1,40}\|>|<(?:start|end)_of_turn>|</?s>|\[/?INST\]")


def estimated_tokens(turns: tuple[ChatTurn, ...]) -> int:
    """About how many tokens a prompt has: what rate limits and the limit of prompts are held with."""
    return sum(len(_TOKEN.findall(turn.content)) + TOKENS_A_TURN for turn in turns)


@dataclass(slots=True)
class RemoteAnswer:
    """What has come of one request. `tell` gets its events; `prices` are those of a prompt's and an answer's token."""

    request: GenerationRequest
    limit: int
    prompt_tokens: int
    prices: tuple[float, float]
    tell: Callable[[GenerationEvent], None]
    new_tokens: int = 0
    begun: bool = False
    _held: list[str] = field(default_factory=list)
    _half: str = ""  # of a UTF-16 pair, which some servers cut in two
    _tell_at_s: float = 0.0

    def grow(self, piece: str) -> None:
        """Take a piece of text; a piece is a token, as long as the server does not count them for us."""
        self.begun = True
        self.new_tokens += 1
        piece, self._half = self._half + piece, ""
        if "\ud800" <= piece[-1] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        self._held.append(without_surrogates(piece))
        if time.monotonic() >= self._tell_at_s:
            self._tell_at_s = time.monotonic() + TELL_INTERVAL_S
            self.tell(self._event())

    def count(self, prompt_tokens: int | None, new_tokens: int | None) -> None:
        """Take the server's own counts."""
        self.prompt_tokens = prompt_tokens or self.prompt_tokens
        self.new_tokens = max(self.new_tokens, new_tokens or 0)

    def end(self, finish: FinishReason, error: str = "") -> None:
        """Tell the last event, with all text that was held back and what the answer cost."""
        self.tell(self._event(finish, error, self.cost))

    @property
    def cost(self) -> float:
        """What the server takes for it so far: nothing before it has begun."""
        price, price_new = self.prices
        return self.prompt_tokens * price + self.new_tokens * price_new if self.begun else 0.0

    def _event(self, finish: FinishReason | None = None, error: str = "", cost: float = 0.0) -> GenerationEvent:
        text = "".join(self._held)
        self._held.clear()
        return GenerationEvent(self.request.id, text, finish, error, self.prompt_tokens, self.new_tokens, cost)
