"""An embedder of transformers: in a process of its own, with a tiny model of random weights made here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from config.environment import CHECKOUT
from workers.knowledge.document import KnowledgeError
from workers.knowledge.embedder import open_embedder
from workers.knowledge.embedders.transformers_model import TransformersEmbedder

# In a process of its own: a test's process stays free of torch, too.
MAKE_MODEL = """
import sys
from pathlib import Path
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast
folder = Path(sys.argv[1])
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "tide", "gauge", "boat", "red", "blue", "潮", "位", "站"]
(folder / "vocab.txt").write_text("\\n".join(words))
torch.manual_seed(0)
config = BertConfig(vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                    intermediate_size=64, max_position_embeddings=64)
BertModel(config).save_pretrained(folder)
BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-bert")
    subprocess.run([sys.executable, "-c", MAKE_MODEL, str(folder)], check=True, cwd=CHECKOUT)
    return folder


def test_a_model_of_transformers_embeds_in_a_process_of_its_own(model: Path) -> None:
    """Vectors of length 1, the same alone and in a batch; torch stays out of here; a killed process starts anew."""
    embedder = open_embedder(str(model))
    assert isinstance(embedder, TransformersEmbedder)
    try:
        assert (embedder.id, embedder.dimensions) == (f"transformers:{model}", 32)
        vectors = embedder.embed(["red tide gauge", "blue boat", "潮位站", "", "tide " * 500])
        assert vectors.shape == (5, 32)
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(5), abs=1e-5)
        assert embedder.embed(["blue boat"])[0] == pytest.approx(vectors[1], abs=1e-5)
        assert abs(float(vectors[0] @ vectors[1])) < 0.999
        assert embedder.embed([]).shape == (0, 32)
        assert embedder.count_tokens("red tide gauge") == 3
        assert embedder.process.pid is not None
        os.kill(embedder.process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, embedder.process.pid, os.WEXITED | os.WNOWAIT)  # it is its parent's to reap
        assert embedder.embed(["blue boat"])[0] == pytest.approx(vectors[1], abs=1e-5)
    finally:
        embedder.close()
    seen = "import sys, workers.knowledge.embedders.transformers_model as m; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", seen], cwd=CHECKOUT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"


def with_modules(model: Path, folder: Path, pooling: str, prompts: dict[str, str]) -> Path:
    """The model as a hub gives it: with files that say how its vectors are taken."""
    shutil.copytree(model, folder)
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    modules = [
        {"idx": at, "name": str(at), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for at, (path, kind) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    pooled = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": False, pooling: True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooled))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts}))
    return folder


def test_how_a_vector_is_taken_is_the_models_word(model: Path, tmp_path: Path) -> None:
    """The first token's, the last one's or the mean of all; and a question has before it what the model wants there."""
    places = {
        "pooling_mode_mean_tokens": with_modules(model, tmp_path / "mean", "pooling_mode_mean_tokens", {}),
        "pooling_mode_cls_token": with_modules(model, tmp_path / "first", "pooling_mode_cls_token", {}),
        "pooling_mode_lasttoken": with_modules(model, tmp_path / "last", "pooling_mode_lasttoken", {"query": "blue "}),
    }
    plain = TransformersEmbedder(str(model), threads=1)
    mean = plain.embed(["red tide gauge"])[0]
    plain.close()
    vectors = {}
    for pooling, folder in places.items():
        embedder = TransformersEmbedder(str(folder), threads=1)
        vectors[pooling], as_asked = embedder.embed(["red tide gauge", "blue red tide gauge"])
        asked = embedder.embed_question("red tide gauge")
        wanted = as_asked if pooling == "pooling_mode_lasttoken" else vectors[pooling]
        assert asked == pytest.approx(wanted, abs=1e-5)
        embedder.close()
    assert vectors["pooling_mode_mean_tokens"] == pytest.approx(mean, abs=1e-5)
    assert abs(vectors["pooling_mode_cls_token"] - mean).max() > 0.01
    assert abs(vectors["pooling_mode_lasttoken"] - vectors["pooling_mode_cls_token"]).max() > 0.01


def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    """A folder without a model gives a sentence with its name, not a wait."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "nothing-known"}))
    embedder = TransformersEmbedder(str(tmp_path))
    with pytest.raises(KnowledgeError, match=r"^the embedder .* failed: "):
        embedder.embed(["text"])
    embedder.close()
