"""The engine that runs a chat model of the transformers library on this machine, on its CPU or a GPU.

A request waits for a row, has its prompt read in chunks between the steps of the others, and then grows by one token
a step together with all other rows.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from config.sections import EngineSettings
from workers.engine.engine import (
    WARM_UP,
    Engine,
    GenerationEvent,
    GenerationRequest,
    ModelError,
    Progress,
    fault_of,
)
from workers.engine.local.answer import NO_ROW, LocalAnswer
from workers.engine.local.loading import LoadedModel, load_model
from workers.engine.local.sampling import Sampler
from workers.engine.local.text import TextStream

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Flight:
    """A step that the decoder was given: the answers that get a token of it, and what will be known of that."""

    answers: list[LocalAnswer]
    logits: Tensor  # [answers, vocabulary]
    highest: Tensor  # [answers], of the logits
    likeliest: Tensor  # [answers], their tokens


class TransformersEngine(Engine):
    """Runs the model that the settings name; up to `slots` answers grow at once."""

    def __init__(self, settings: EngineSettings, models_folder: Path, slots: int) -> None:
        self._settings = settings
        self._models_folder = models_folder
        self._slots = slots
        self._model: LoadedModel | None = None
        self._waiting: deque[LocalAnswer] = deque()
        self._reading: list[LocalAnswer] = []  # in the order in which the decoder began them
        self._alone = 0  # prompts that are to be read one at a time, because one of them spoilt it for the others
        self._rows: list[LocalAnswer] = []  # in the order of the decoder's rows
        self._flight: _Flight | None = None
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
            self._ended.append(GenerationEvent(request.id, finish="error", error=fault))
            return
        limit = min(request.max_new_tokens, self._loaded.max_new_tokens)
        sampler = Sampler(request.temperature, request.seed)
        self._waiting.append(LocalAnswer(request, limit, sampler, TextStream(self._loaded.tokenizer)))

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
        for answer in self._rows:
            if answer.request.id == request_id:
                self._release(answer)
                self._ended.append(answer.event(finish="cancelled"))
                return

    @property
    def busy(self) -> bool:
        """Whether anything is on its way."""
        return bool(self._waiting or self._reading or self._rows or self._ended)

    def step(self) -> list[GenerationEvent]:
        """Decode one token of each row, and read prompts up to the limit of a step.

        A decoder that runs ahead, as on a GPU, need not wait for what is done here: it is given its next step before
        the tokens of the last one become text, and new prompts become tokens while it computes.
        """
        if self._flight is None:
            self._flight = self._launch()
        for answer in [answer for answer in self._waiting if not answer.prompt]:
            if not self._tokenise(answer):
                self._waiting.remove(answer)
        advanced = self._collect()
        if self._loaded.decoder.runs_ahead:
            self._flight = self._launch()
        now_s = time.monotonic()
        told = [event for answer in advanced if (event := answer.tell(now_s)) is not None]
        ended, self._ended = self._ended, []
        return ended + told

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
        self._model = self._flight = None

    # --- steps

    @property
    def _loaded(self) -> LoadedModel:
        assert self._model is not None, "load() comes first"  # noqa: S101 -- the loop of the process sees to it
        return self._model

    def _launch(self) -> _Flight | None:
        """Give the decoder its next step; None where it has nothing to do."""
        parts = [self._loaded.decoder.decode([answer.tokens[-1] for answer in self._rows])] if self._rows else []
        if firsts := self._read():
            parts.append(torch.stack(firsts))
        if not parts:
            return None
        logits = torch.cat(parts) if len(parts) > 1 else parts[0]
        highest, likeliest = logits.max(-1)
        return _Flight(list(self._rows), logits, highest, likeliest)

    def _collect(self) -> list[LocalAnswer]:
        """Wait for the step that the decoder was given, and add its tokens; returns the answers that got one."""
        flight, self._flight = self._flight, None
        if flight is None:
            return []
        highest, likeliest = flight.highest.tolist(), flight.likeliest.tolist()
        advanced = []
        for number, answer in enumerate(flight.answers):
            if answer.row == NO_ROW:  # cancelled meanwhile
                continue
            advanced.append(answer)
            if not math.isfinite(highest[number]):
                answer.finish, answer.error = "error", "the model's numbers went out of range on this prompt"
            else:
                greedy = answer.sampler.greedy
                self._append(answer, likeliest[number] if greedy else answer.sampler.choose(flight.logits[number]))
            if answer.finish is not None:
                self._release(answer)
        return advanced

    def _read(self) -> list[Tensor]:
        """Read waiting prompts while there are rows for them and tokens left for this step.

        Those that are read to their end become the last rows; returns the logits of their first tokens. What cannot be
        read has ended.
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
                self._blame(error)
                continue
            left -= read
            firsts += logits
            for answer in self._reading[: len(logits)]:
                answer.row = len(self._rows)
                self._rows.append(answer)
            del self._reading[: len(logits)]
        return firsts

    def _begin(self, tokens: int) -> None:
        """Have the decoder read waiting prompts, until it has so many tokens to read or no room for more."""
        decoder = self._loaded.decoder
        while self._waiting and len(self._rows) + len(self._reading) < self._slots:
            if self._reading and (self._alone or decoder.unread >= tokens):
                return
            if not self._waiting[0].prompt and not self._tokenise(self._waiting[0]):
                self._waiting.popleft()
                continue
            if not decoder.begin(self._waiting[0].prompt, self._waiting[0].limit):
                return
            self._reading.append(self._waiting.popleft())
            self._alone = max(0, self._alone - 1)

    def _blame(self, error: Exception) -> None:
        """What could not be read ends with an error; where several were read at once, each is tried again alone."""
        for number in reversed(range(len(self._reading))):
            self._loaded.decoder.give_up(number)
        failed, self._reading = self._reading, []
        if len(failed) > 1:
            self._waiting.extendleft(reversed(failed))
            self._alone = len(failed)
            return
        log.warning("a prompt of %d tokens could not be read", len(failed[0].prompt), exc_info=error)
        self._ended.append(failed[0].event(finish="error", error=_sentence(error)))

    def _append(self, answer: LocalAnswer, token: int) -> None:
        """Add a token to an answer; it ends where the token or the limit says so."""
        if token in self._loaded.chat.stop_tokens:
            answer.finish = "stop"
            return
        answer.tokens.append(token)
        if len(answer.tokens) >= answer.limit:
            answer.finish = "length"

    def _release(self, answer: LocalAnswer) -> None:
        """Take an answer's row away; the last one takes its number, as in the decoder."""
        self._loaded.decoder.release(answer.row)
        last = self._rows.pop()
        if last is not answer:
            self._rows[answer.row] = last
            last.row = answer.row
        answer.row = NO_ROW

    def _tokenise(self, answer: LocalAnswer) -> bool:
        """Put a prompt into the model's form; False where it has ended because that cannot be, or is too long.

        Not done in `add`: when many come at once, the first is read while the others' tokens are being found.
        """
        try:
            answer.prompt = self._loaded.chat.tokens(answer.request.turns)
        except Exception as error:  # a template or tokenizer of any model; this request alone is at fault
            log.exception("a prompt could not be put into the model's form")
            sentence = f"the prompt cannot be put into the model's form ({type(error).__name__})"
            self._ended.append(answer.event(finish="error", error=sentence))
            return False
        if len(answer.prompt) > self.max_prompt_tokens:
            sentence = f"the prompt has {len(answer.prompt)} tokens and the engine takes {self.max_prompt_tokens}"
            self._ended.append(answer.event(finish="too_long", error=sentence))
            return False
        return True


def _sentence(error: Exception) -> str:
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return "there was not enough memory for this prompt"
    return f"the model failed on this prompt ({type(error).__name__})"
