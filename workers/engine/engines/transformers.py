"""The engine that runs a chat model of the transformers library on this machine, on its CPU or a GPU.

A request waits for a row, has its prompt read in chunks between the steps of the others, and then grows by one token
a step together with all other rows.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from config.settings import EngineSettings
from workers.engine.engine import (
    ChatTurn,
    Engine,
    FinishReason,
    GenerationEvent,
    GenerationRequest,
    ModelError,
    fault_of,
)
from workers.engine.local.loading import LoadedModel, load_model
from workers.engine.local.sampling import Sampler
from workers.engine.local.text import TextStream

log = logging.getLogger(__name__)

Progress = Callable[[str, float], None]

# Turning tokens into text costs as much as the rest of a row's step on the CPU, and nobody reads that fast.
TELL_INTERVAL_S = 0.05
WARM_UP = GenerationRequest("warm-up", (ChatTurn("user", "Say hello."),), max_new_tokens=4)


@dataclass(slots=True)
class _Answer:
    """One request on its way: its prompt in tokens, and what has been made of it."""

    request: GenerationRequest
    prompt: list[int]
    limit: int
    sampler: Sampler
    text: TextStream
    tokens: list[int] = field(default_factory=list)
    told: int = 0  # tokens that `text` has been given
    tell_at_s: float = 0.0

    def tell(self) -> str:
        """The text of the tokens that have come since the last time."""
        new = self.text.push(*self.tokens[self.told :])
        self.told = len(self.tokens)
        return new

    def end(self, reason: FinishReason) -> GenerationEvent:
        """The last event, with all text that has not been told."""
        return self.event(self.tell() + self.text.finish(), reason)

    def event(self, text: str = "", finish: FinishReason | None = None, error: str = "") -> GenerationEvent:
        return GenerationEvent(self.request.id, text, finish, error, len(self.prompt), len(self.tokens))


class TransformersEngine(Engine):
    """Runs the model that the settings name; up to `slots` answers grow at once."""

    def __init__(self, settings: EngineSettings, models_folder: Path, slots: int) -> None:
        self._settings = settings
        self._models_folder = models_folder
        self._slots = slots
        self._model: LoadedModel | None = None
        self._waiting: deque[_Answer] = deque()
        self._reading: list[_Answer] = []  # in the order in which the decoder began them
        self._alone = 0  # prompts that are to be read one at a time, because one of them spoilt it for the others
        self._rows: list[_Answer] = []  # in the order of the decoder's rows
        self._ended: list[GenerationEvent] = []

    # --- Engine

    def load(self, progress: Progress) -> None:
        """Load the model, and answer a warm-up prompt through the same steps as any other."""
        self._model = load_model(self._settings, self._models_folder, self._slots, progress)
        progress("answering a first prompt", 0.95)
        self.add(WARM_UP)
        events: list[GenerationEvent] = []
        while self.busy:
            events += self.step()
        if events[-1].finish not in ("stop", "length"):
            raise ModelError(f"the model {self._settings.model} does not answer: {events[-1].error}")
        progress("ready", 1.0)

    def add(self, request: GenerationRequest) -> None:
        """Take a request; it waits for a row."""
        if fault := fault_of(request):
            self._refuse(request, fault)
            return
        try:
            prompt = self._loaded.chat.tokens(request.turns)
        except Exception as error:  # a template or tokenizer of any model; this request alone is at fault
            log.exception("a prompt could not be put into the model's form")
            self._refuse(request, f"the prompt cannot be put into the model's form ({type(error).__name__})")
            return
        if len(prompt) > self.max_prompt_tokens:
            sentence = f"the prompt has {len(prompt)} tokens and the engine takes {self.max_prompt_tokens}"
            self._ended.append(
                GenerationEvent(request.id, finish="too_long", error=sentence, prompt_tokens=len(prompt))
            )
            return
        self._waiting.append(
            _Answer(
                request,
                prompt,
                min(request.max_new_tokens, self._loaded.max_new_tokens),
                Sampler(request.temperature, request.seed),
                TextStream(self._loaded.tokenizer),
            )
        )

    def cancel(self, request_id: str) -> None:
        """Give a request up, wherever it is on its way."""
        for number, answer in enumerate(self._reading):
            if answer.request.id == request_id:
                self._loaded.decoder.give_up(number)
                self._ended.append(self._reading.pop(number).event(finish="cancelled"))
                return
        for answer in self._waiting:
            if answer.request.id == request_id:
                self._waiting.remove(answer)
                self._ended.append(answer.event(finish="cancelled"))
                return
        for row, answer in enumerate(self._rows):
            if answer.request.id == request_id:
                self._release(row)
                self._ended.append(answer.event(finish="cancelled"))
                return

    @property
    def busy(self) -> bool:
        """Whether anything is on its way."""
        return bool(self._waiting or self._reading or self._rows or self._ended)

    def step(self) -> list[GenerationEvent]:
        """Decode one token of each row, and read prompts up to the limit of a step.

        A GPU is given both before the first result is waited for, so that it never waits for this process.
        """
        events, self._ended = self._ended, []
        grown = len(self._rows)
        logits = self._loaded.decoder.decode([answer.tokens[-1] for answer in self._rows]) if grown else None
        best = None if logits is None else logits.max(-1)
        read = self._read(events)
        # From the last row on, because a row that ends is replaced by the last one, which has had its turn then.
        begun = [self._take(row, read[row - grown]) for row in reversed(range(grown, grown + len(read)))]
        events += [event for own in reversed(begun) for event in own]
        if logits is not None and best is not None:
            events += self._grow(logits, best.values.tolist(), best.indices.tolist())
        return events

    @property
    def about(self) -> Mapping[str, str]:
        """Device, dtype, threads and the way of decoding."""
        return self._loaded.about

    @property
    def max_prompt_tokens(self) -> int:
        """The longest prompt that is taken: the setting's limit, or what the model's positions leave."""
        return self._loaded.max_prompt_tokens

    def close(self) -> None:
        """Let go of the model."""
        self._model = None

    # --- steps

    @property
    def _loaded(self) -> LoadedModel:
        assert self._model is not None, "load() comes first"  # noqa: S101 -- the loop of the process sees to it
        return self._model

    def _read(self, events: list[GenerationEvent]) -> list[Tensor]:
        """Read waiting prompts while there are rows for them and tokens left for this step.

        Those that are read to their end become the last rows; returns the logits of their first tokens. What cannot be
        read is added to the events.
        """
        firsts: list[Tensor] = []
        decoder = self._loaded.decoder
        left = decoder.prefill_tokens
        while left > 0:
            self._begin(left)
            if not self._reading:
                break
            try:
                read, logits = decoder.prefill(left)
            except torch.AcceleratorError:
                raise  # the device is in an unknown state: this process has to end
            except Exception as error:  # out of memory, or a fault in the model's code
                events += self._blame(error)
                continue
            left -= read
            firsts += logits
            self._rows += self._reading[: len(logits)]
            del self._reading[: len(logits)]
        return firsts

    def _begin(self, tokens: int) -> None:
        """Have the decoder read waiting prompts, until it has so many tokens to read or no room for more."""
        decoder = self._loaded.decoder
        while self._waiting and len(self._rows) + len(self._reading) < self._slots:
            if self._reading and (self._alone or decoder.unread >= tokens):
                return
            if not decoder.begin(self._waiting[0].prompt, self._waiting[0].limit):
                return
            self._reading.append(self._waiting.popleft())
            self._alone = max(0, self._alone - 1)

    def _blame(self, error: Exception) -> list[GenerationEvent]:
        """What could not be read ends with an error; where several were read at once, each is tried again alone."""
        for number in reversed(range(len(self._reading))):
            self._loaded.decoder.give_up(number)
        failed, self._reading = self._reading, []
        if len(failed) > 1:
            self._waiting.extendleft(reversed(failed))
            self._alone = len(failed)
            return []
        log.warning("a prompt of %d tokens could not be read", len(failed[0].prompt), exc_info=error)
        return [failed[0].event(finish="error", error=_sentence(error))]

    def _grow(self, logits: Tensor, highest: list[float], likeliest: list[int]) -> list[GenerationEvent]:
        """One token more for each row that was decoded."""
        events: list[GenerationEvent] = []
        now_s = time.monotonic()
        for row in reversed(range(len(likeliest))):
            answer = self._rows[row]
            if not math.isfinite(highest[row]):
                events += self._fail(row)
            else:
                token = likeliest[row] if answer.sampler.greedy else answer.sampler.choose(logits[row])
                events += self._append(row, token, now_s)
        return events

    def _take(self, row: int, logits: Tensor) -> list[GenerationEvent]:
        """The first token of a row."""
        if not torch.isfinite(logits.amax()):
            return self._fail(row)
        return self._append(row, self._rows[row].sampler.choose(logits), time.monotonic())

    def _append(self, row: int, token: int, now_s: float) -> list[GenerationEvent]:
        """Add a token to a row's answer, and end it where the token or the limit says so."""
        answer = self._rows[row]
        if token in self._loaded.chat.stop_tokens:
            self._release(row)
            return [answer.end("stop")]
        answer.tokens.append(token)
        if len(answer.tokens) >= answer.limit:
            self._release(row)
            return [answer.end("length")]
        if now_s < answer.tell_at_s:
            return []
        text = answer.tell()
        answer.tell_at_s = now_s + TELL_INTERVAL_S if text else now_s
        return [answer.event(text)] if text else []

    def _fail(self, row: int) -> list[GenerationEvent]:
        answer = self._rows[row]
        self._release(row)
        return [answer.event(finish="error", error="the model's numbers went out of range on this prompt")]

    def _release(self, row: int) -> None:
        self._loaded.decoder.release(row)
        self._rows[row] = self._rows[-1]
        self._rows.pop()

    def _refuse(self, request: GenerationRequest, sentence: str) -> None:
        self._ended.append(GenerationEvent(request.id, finish="error", error=sentence))


def _sentence(error: Exception) -> str:
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return "there was not enough memory for this prompt"
    return f"the model failed on this prompt ({type(error).__name__})"
