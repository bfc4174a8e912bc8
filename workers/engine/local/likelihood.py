"""How likely a question is after a passage, to a chat model: a passage that answers a question makes it likely.

This is query likelihood as of Ponte and Croft (1998) with a language model in the place of word counts. The model reads
"passage, which question does it answer?", and the probability of each of the question's tokens is looked up; nothing
is generated. A template's own instructions ("you are a helpful assistant") are left out: with them the built-in model
judged worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from config.sections import EngineSettings
from workers.engine.local.chat import ChatFormat
from workers.engine.local.loading import choose_device, choose_dtype, default_threads, round_where_wanted
from workers.engine.local.serving import Actions, serve_actions
from workers.engine.local.weights import find_weights

_ASKED = "Which question does this text answer?"
_MAX_PASSAGE_TOKENS = 600
_MAX_QUESTION_TOKENS = 100


class QuestionLikelihood:
    """Judges passages by a chat model; `model` is named as in `engine.model`."""

    def __init__(self, settings: EngineSettings, models_folder: Path, model: str) -> None:
        device = choose_device(settings.device)
        torch.set_num_threads(settings.threads or default_threads())
        folder = find_weights(model, models_folder, lambda *_: None)
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        dtype = choose_dtype(settings.dtype, device)
        self._model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=dtype).to(device).eval()
        has_template = bool(self._tokenizer.chat_template)
        self._chat = ChatFormat(self._tokenizer, self._model.generation_config, model) if has_template else None
        round_where_wanted(self._model, settings.dtype, device)

    @torch.inference_mode()
    def of(self, question: str, passages: Sequence[str]) -> list[float]:
        """For each passage the mean log probability of a token of the question after it, 0 at most."""
        asked = self._tokens(question)[:_MAX_QUESTION_TOKENS]
        if not asked or not passages:
            return [0.0] * len(passages)
        prompts = [self._prompt(passage) + asked for passage in passages]
        longest = max(map(len, prompts))
        # Padded on the left, so that the question ends every row, and only its tokens need the output layer.
        rows = torch.tensor([[0] * (longest - len(one)) + one for one in prompts], device=self._model.device)
        real = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts], device=rows.device)
        logits = self._model(
            input_ids=rows,
            attention_mask=real,
            position_ids=(real.cumsum(-1) - 1).clamp(min=0),
            logits_to_keep=len(asked) + 1,
            use_cache=False,
        ).logits[:, :-1]
        chances: Tensor = logits.float().log_softmax(-1)
        wanted = torch.tensor(asked, device=rows.device).expand(len(prompts), -1)
        found: list[float] = chances.gather(-1, wanted[..., None]).mean((1, 2)).tolist()
        return found

    def _prompt(self, passage: str) -> list[int]:
        read = self._tokenizer.decode(self._tokens(passage)[:_MAX_PASSAGE_TOKENS])
        asked = f"{read}\n\n{_ASKED}"
        return self._chat.bare_turn(asked) if self._chat else self._tokens(f"{asked}\n")

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return tokens


def serve(settings: EngineSettings, models_folder: Path, model: str, pipe: Connection) -> None:
    """Judge passages until the pipe ends."""

    def load() -> tuple[object, Actions]:
        judge = QuestionLikelihood(settings, models_folder, model)
        return model, {"likelihoods": lambda asked: judge.of(*asked)}

    serve_actions(load, pipe)
