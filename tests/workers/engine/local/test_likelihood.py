"""How likely a model finds a question after a passage: the same number, however many passages are judged at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.workers.engine.conftest import engine_settings
from tests.workers.engine.tiny_models import make_model
from workers.engine.local.chat import ChatFormat
from workers.engine.local.likelihood import QuestionLikelihood

PASSAGES = [
    "Tides\n\nThe gauge is red.",
    "Boats\n\nA boat is blue, and much longer than this one. " * 3,
    "站\n\n潮位。",
]
QUESTION = "Which gauge is red?"


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gpt2", "gemma3-window"])
def test_it_is_the_mean_log_probability_of_the_question(tmp_path: Path, architecture: str) -> None:
    """Passages of several lengths in one batch get what one forward for each of them, without padding, gives."""
    folder = make_model(tmp_path / "model", architecture)
    found = QuestionLikelihood(engine_settings(), tmp_path, str(folder)).of(QUESTION, PASSAGES)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    asked = tokenizer(QUESTION, add_special_tokens=False)["input_ids"]
    for passage, value in zip(PASSAGES, found, strict=True):
        chat = ChatFormat(tokenizer, model.generation_config, "tiny")
        prompt = chat.bare_turn(f"{passage}\n\nWhich question does this text answer?")
        with torch.inference_mode():
            chances = model(torch.tensor([prompt + asked])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        assert value == pytest.approx(chances[range(len(asked)), asked].mean().item(), abs=1e-4)
    assert len(set(found)) == len(PASSAGES)


def test_a_model_without_a_chat_template_judges_too(tmp_path: Path) -> None:
    """A plain text takes the template's place; nothing to judge, or no question, gives nothing."""
    folder = make_model(tmp_path / "model", template=None)
    judge = QuestionLikelihood(engine_settings(), tmp_path, str(folder))
    assert all(value < 0 for value in judge.of(QUESTION, PASSAGES))
    assert judge.of(QUESTION, []) == []
    assert judge.of("", PASSAGES) == [0.0, 0.0, 0.0]


def test_long_texts_are_cut(tmp_path: Path) -> None:
    """A passage beyond the limit is judged by its beginning, so that one question costs no more than it may."""
    folder = make_model(tmp_path / "model")
    judge = QuestionLikelihood(engine_settings(), tmp_path, str(folder))
    assert judge.of("a " * 500, ["b " * 300]) == pytest.approx(judge.of("a " * 900, ["b " * 5000]), abs=1e-4)
