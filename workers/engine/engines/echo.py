"""The engine without weights: repeats a passage of the question, word by word."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.sections import EngineSettings
from workers.engine.engine import ChatTurn, Engine, FinishReason, GenerationEvent, GenerationRequest, Progress, fault_of
from workers.engine.prompt_text import WIDE_CHARACTERS, without_surrogates

# A token here: a Chinese, Japanese or Korean character, or a run of others, with the space behind it.
_TOKEN = re.compile(rf"(?:[{WIDE_CHARACTERS}]|[^\s{WIDE_CHARACTERS}]+)\s*")


@dataclass(slots=True)
class _Answer:
    request: GenerationRequest
    prompt_tokens: int
    words: list[str]
    limit: int
    said: int = field(default=0)


class EchoEngine(Engine):
    """Answers with the longest paragraph of the last user turn, one word a step; the same for the same prompt always.

    `delay_s` is slept once a step, as a model would compute: a time for each token of an answer, whatever the number
    of answers. `slots` answers grow at once; the others wait.
    """

    def __init__(self, settings: EngineSettings, models_folder: Path, slots: int, *, delay_s: float = 0.0) -> None:
        del models_folder  # an engine without weights needs none
        self._settings = settings
        self._slots = slots
        self._delay_s = delay_s
        self._waiting: list[_Answer] = []
        self._running: list[_Answer] = []
        self._ended: list[GenerationEvent] = []

    def load(self, progress: Progress) -> None:
        """Has nothing to load."""
        progress("loading nothing", 1.0)

    def add(self, request: GenerationRequest) -> None:
        """Take a request; it joins at the next step."""
        if fault := fault_of(request):
            self._ended.append(GenerationEvent(request.id, finish="error", error=fault))
            return
        tokens = sum(len(_TOKEN.findall(turn.content)) for turn in request.turns)
        if tokens > self._settings.max_prompt_tokens:
            sentence = f"the prompt has {tokens} tokens and the engine takes {self._settings.max_prompt_tokens}"
            self._ended.append(GenerationEvent(request.id, finish="too_long", error=sentence, prompt_tokens=tokens))
            return
        limit = min(request.max_new_tokens, self._settings.max_new_tokens)
        self._waiting.append(_Answer(request, tokens, _TOKEN.findall(_passage(request.turns)), limit))

    def cancel(self, request_id: str) -> None:
        """Give a request up."""
        for answers in (self._waiting, self._running):
            for answer in answers:
                if answer.request.id == request_id:
                    answers.remove(answer)
                    self._ended.append(self._event(answer, "", "cancelled"))
                    return

    def step(self) -> list[GenerationEvent]:
        """Say one more word of each running answer."""
        events, self._ended = self._ended, []
        while self._waiting and len(self._running) < self._slots:
            self._running.append(self._waiting.pop(0))
        if self._running and self._delay_s:
            time.sleep(self._delay_s)
        still_running = []
        for answer in self._running:
            word = answer.words[answer.said] if answer.words else ""
            answer.said += 1
            finish: FinishReason | None = None
            if answer.said >= len(answer.words):
                finish = "stop"
            elif answer.said >= answer.limit:
                finish = "length"
            events.append(self._event(answer, word, finish))
            if finish is None:
                still_running.append(answer)
        self._running = still_running
        return events

    @property
    def busy(self) -> bool:
        """Whether there is an answer to go on with."""
        return bool(self._waiting or self._running or self._ended)

    @property
    def about(self) -> Mapping[str, str]:
        """It has no weights."""
        return {"weights": "none"}

    @staticmethod
    def _event(answer: _Answer, text: str, finish: FinishReason | None) -> GenerationEvent:
        return GenerationEvent(
            answer.request.id, text, finish, prompt_tokens=answer.prompt_tokens, new_tokens=answer.said
        )


def _passage(turns: tuple[ChatTurn, ...]) -> str:
    """The longest paragraph of the last user turn, the first of several; of the last turn where no user spoke."""
    asked = [turn for turn in turns if turn.role == "user"] or list(turns)
    paragraphs = re.split(r"\n\s*\n", without_surrogates(asked[-1].content))
    return max(paragraphs, key=len).strip()
