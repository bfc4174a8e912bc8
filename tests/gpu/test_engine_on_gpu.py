"""On a machine with a GPU: what the engine there answers to many at once is the model's own, and nobody else's."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from tests.workers.engine.conftest import engine_settings, request
from tests.workers.engine.tiny_models import make_model
from workers.engine.engine import GenerationEvent
from workers.engine.engines.transformers import TransformersEngine
from workers.engine.local.answer import LocalAnswer

pytestmark = pytest.mark.gpu
WORDS = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "again", "and", "again"]
# A near tie may be turned by bfloat16; a token that belongs to another answer is far from the highest.
MOST_REGRET = 0.05


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose heads are large enough for the kernels."""
    return make_model(tmp_path_factory.mktemp("model") / "model", "qwen3")


def regret(model: PreTrainedModel, answer: LocalAnswer) -> float:
    """How far below the model's own highest logit a chosen token's is at worst, as a part of the largest."""
    with torch.inference_mode():
        ids = torch.tensor([answer.prompt + answer.tokens[:-1]], device="cuda")
        logits = model(ids, logits_to_keep=len(answer.tokens)).logits[0]
    chosen = logits.gather(1, torch.tensor(answer.tokens, device="cuda")[:, None])[:, 0]
    return float(((logits.max(-1).values - chosen) / logits.abs().max()).max())


def test_random_neighbours_get_nothing_of_each_other(folder: Path, tmp_path: Path) -> None:
    """Among empty prompts, ones beyond the limit and ones given up, each answer has the model's own tokens alone."""
    chance = random.Random(5)
    settings = engine_settings(kind="transformers", model=str(folder), device="cuda", dtype="bfloat16")
    engine = TransformersEngine(settings, tmp_path, 6)
    engine.load(lambda what, share: None)
    assert engine.about["decoder"] == "paged"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to("cuda").eval()
    kept: dict[str, LocalAnswer] = {}
    events: dict[str, list[GenerationEvent]] = {}

    def step() -> None:
        for event in engine.step():
            events.setdefault(event.id, []).append(event)

    for number in range(150):
        kind = chance.choice(["good", "good", "good", "empty", "long", "cancelled"])
        text = {"empty": " \n", "long": "word " * 300}.get(
            kind, " ".join(chance.choices(WORDS, k=chance.randint(1, 60)))
        )
        engine.add(request(text, id=f"{kind} {number}", max_new_tokens=chance.randint(1, 40)))
        kept |= {answer.request.id: answer for answer in engine._waiting}
        for _ in range(chance.randint(0, 3)):
            step()
        for name in [name for name in kept if name.startswith("cancelled") and chance.random() < 0.3]:
            engine.cancel(name)
    while engine.busy:
        step()

    for name, own in events.items():
        assert [bool(event.finish) for event in own] == [False] * (len(own) - 1) + [True]
        if name.startswith(("empty", "long")):
            assert "".join(event.text for event in own) == ""
            assert own[-1].finish == ("error" if name.startswith("empty") else "too_long")
        elif name.startswith("good"):
            assert own[-1].finish in ("stop", "length")
    answered = [answer for answer in kept.values() if answer.tokens]
    assert len(answered) > 60
    assert max(regret(model, answer) for answer in answered) < MOST_REGRET
