"""The gate: answer, or say that it is not here, or chat, or be silent."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import CapturingLogger

from config.environment import CHECKOUT
from tests.workers.gates import embedder, shipped_gate
from tests.workers.knowledge.base import KnowledgeBase
from tests.workers.knowledge.word_embedder import WordEmbedder
from tests.workers.passages import hit, passage
from workers.gate import COMPARED_HITS, Decision
from workers.gates import learned
from workers.gates.features import NAMES, features
from workers.gates.learned import GateModels, LearnedGate, model_file, wording_embedder
from workers.gates.model import INPUTS, SHIPPED_FILE, GateModel, GateModelError, sigmoid
from workers.gates.small_talk import asks, small_talk
from workers.gates.wording import grams
from workers.knowledge.retriever import ScoredPassage

GOOD = hit(passage("A key is valid for 90 days."), score=0.88, dense=0.58, coverage=1.0)
POOR = hit(passage("Something else.", title="Other", number=2), score=0.2, dense=0.18, coverage=0.1)
DATA = CHECKOUT / "tests" / "data"
DOCS = DATA / "gate" / "kestrel" / "docs"


@pytest.fixture(scope="module")
def kestrel(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    base = KnowledgeBase(tmp_path_factory.mktemp("kestrel"), embedder())
    base.add(DOCS)
    return base


def decide(base: KnowledgeBase, text: str) -> Decision:
    return shipped_gate().decide(text, base.retriever.search(text, COMPARED_HITS), ())


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("多卡训练命令是啥", "answer"),
        ("RuntimeError: ops not compiled 升级了一下pytorch就这样了", "answer"),
        ("int8量化校准要多少张图", "answer"),
        ("毕业论文查重一般多少以下算过", "not_found"),
        ("阿里云gpu服务器一个月多少钱", "not_found"),
        ("谢谢大佬！", "small_talk"),
        ("祝大家国庆快乐", "small_talk"),
        ("楼上说得对", "not_question"),
        ("我先去吃饭了，回来再看", "not_question"),
        ("今天老板又催进度，数据还没标完", "not_question"),
    ],
)
def test_what_is_said_in_a_chat_is_told_apart(kestrel: KnowledgeBase, text: str, verdict: str) -> None:
    """Questions that the documents answer, others, small talk and remarks to other people, in the words of chats."""
    assert decide(kestrel, text).verdict == verdict


def test_a_refusal_says_what_it_saw(kestrel: KnowledgeBase) -> None:
    """The reasons name the passages' values, the wording, what moved the score most, the model and the threshold."""
    decision = decide(kestrel, "毕业论文查重一般多少以下算过")
    said = " ".join(decision.reasons)
    for name in ("dense=", "coverage=", "question=", "remark=", "by ", "model=shipped", "min_score="):
        assert name in said
    assert decision.score < decision.min_score
    assert not decision.sure


def test_an_empty_base_finds_nothing() -> None:
    """Without any passage there is no score to weigh, and a remark is still a remark."""
    assert shipped_gate().decide("How long is a key valid?", [], ()).verdict == "not_found"
    assert shipped_gate().decide("楼上说得对", [], ()).verdict == "not_question"


def test_a_minimum_of_the_settings_goes_first() -> None:
    """A minimum of 1 refuses everything, a tiny one nothing."""
    models = GateModels(Path("/nonexistent"))
    strict, lax = (LearnedGate(models, embedder(), embedder().id, minimum) for minimum in (1.0, 1e-9))
    assert strict.decide("How long is a key valid?", [GOOD], ()).verdict == "not_found"
    assert lax.decide("dental plan", [POOR], ()).verdict == "answer"


def test_more_is_needed_to_speak_unasked() -> None:
    """What is sure scores at least as high as what is answered."""
    model = GateModel.read(SHIPPED_FILE)
    assert 0 < model.min_score < model.sure_score < 1


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Good morning everyone!", "greeting"),
        ("大家早上好！", "greeting"),
        ("在吗", "greeting"),
        ("OK, thanks a lot!", "thanks"),
        ("辛苦了辛苦了", "thanks"),
        ("好的，明天见", "goodbye"),
        ("what can you do?", "about"),
        ("你是谁？", "about"),
        ("哈哈哈哈", ""),
        ("👍", ""),
    ],
)
def test_kinds_of_small_talk(text: str, kind: str) -> None:
    """Greetings, thanks and the like are told by their words, even beside a good passage."""
    decision = shipped_gate().decide(text, [GOOD], ())
    assert (decision.verdict, decision.talk) == ("small_talk", kind)


@pytest.mark.parametrize(
    "text",
    [
        "Sorry, how do I renew the key?",
        "thanks, VPN port",
        "hello, how long is a key valid?",
        "谢谢，那报销呢？",
        "好大",
        "test environment",
    ],
)
def test_a_question_behind_a_greeting_is_a_question(text: str) -> None:
    """Polite words around a question do not make it small talk."""
    assert small_talk(text) is None


def test_no_shipped_question_is_taken_for_small_talk() -> None:
    """Each question of the retrieval sets has the shape of one, or at least not that of small talk."""
    for name in ("handbook.jsonl", "unanswerable.jsonl"):
        for line in (DATA / "retrieval" / name).read_text(encoding="utf-8").splitlines():
            assert small_talk(json.loads(line)["question"]) is None, line


def test_long_text_takes_no_time() -> None:
    """Text made to be slow to match is seen through at once, also where it has no spaces."""
    assert small_talk("ha " * 1300 + "x") is None
    assert not asks("a" * 4000)
    for text in ("a" * 4000, "a." * 2000, "\n" * 4000, "？" * 4000):
        began_s = time.perf_counter()
        shipped_gate().decide(text, [GOOD, POOR], ())
        assert time.perf_counter() - began_s < 2


@pytest.mark.parametrize("text", ["", " ", "😀", "\u200b", "\x00", "\ud800"])
def test_odd_text_has_a_score(text: str) -> None:
    """Empty text, signs alone and broken characters are refused like anything else that nothing answers."""
    assert shipped_gate().decide(text, [POOR], ()).verdict != "answer"


def test_the_features_are_finite_for_any_passages() -> None:
    """One passage, equal ones and ones without a rank give numbers."""
    bare = ScoredPassage(passage("x"), 0.0, 0.0, 0.0, 0, 0)
    for hits in ([bare], [bare, bare], [GOOD] * 16, [GOOD, POOR, bare]):
        values = features("multi gpu 怎么开", hits)
        assert values.shape == (len(NAMES),)
        assert np.isfinite(values).all()


def test_numbers_and_codes_do_not_count_as_wording() -> None:
    """How it is put is the same for every code; so the n-grams are, too."""
    assert grams("报错 E301 怎么办") == grams("报错 QH2 怎么办")


def test_a_logit_far_away_is_0_or_1() -> None:
    """No overflow on either side."""
    assert (sigmoid(-5000), sigmoid(5000), sigmoid(0)) == (0, 1, 0.5)


# --- tuned models


def write_model(folder: Path, base: str = "default", min_score: float = 0.99) -> Path:
    file = model_file(folder, base)
    body = json.loads(SHIPPED_FILE.read_text(encoding="utf-8")) | {"min_score": min_score}
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(body), encoding="utf-8")
    return file


def test_a_model_survives_its_file(tmp_path: Path) -> None:
    """What was written is read again, digit for digit."""
    GateModel.read(SHIPPED_FILE).write(tmp_path / "sub" / "model.json", json.loads(SHIPPED_FILE.read_text())["about"])
    assert (tmp_path / "sub" / "model.json").read_text() == SHIPPED_FILE.read_text()


def test_a_running_gate_takes_a_new_model(tmp_path: Path) -> None:
    """A file that appears, changes or goes counts from the next question on, for its own base alone."""
    gate = LearnedGate(GateModels(tmp_path), embedder(), embedder().id)
    question = "How long is a key valid?"
    assert gate.decide(question, [GOOD, POOR], ()).verdict == "answer"
    file = write_model(tmp_path, min_score=1.0)
    assert gate.decide(question, [GOOD, POOR], ()).verdict == "not_found"
    assert gate.decide(question, [GOOD, POOR], (), ["other"]).verdict == "answer"
    assert gate.decide(question, [GOOD, POOR], (), ["default", "other"]).verdict == "answer"
    write_model(tmp_path, min_score=0.1)
    os.utime(file, ns=(1, 1))  # another time, however coarse the disk's clock is
    tuned = gate.decide(question, [GOOD, POOR], ())
    assert (tuned.verdict, tuned.min_score) == ("answer", 0.1)
    assert "model=tuned" in tuned.reasons
    file.unlink()
    assert "model=shipped" in gate.decide(question, [GOOD, POOR], ()).reasons


def test_a_broken_model_leaves_the_one_before(tmp_path: Path) -> None:
    """Rubbish in the file stops nothing: the model before it goes on, or the shipped one."""
    file = model_file(tmp_path, "default")
    file.write_text("{", encoding="utf-8")
    models = GateModels(tmp_path)
    assert models.of(()) == (models.of(["other"])[0], False)
    write_model(tmp_path, min_score=0.77)
    os.utime(file, ns=(1, 1))
    assert models.of(())[0].min_score == 0.77
    file.write_text('{"form": 1}', encoding="utf-8")
    os.utime(file, ns=(2, 2))
    model, tuned = models.of(())
    assert (model.min_score, tuned) == (0.77, True)


@pytest.mark.parametrize(
    "change",
    [
        {"form": 99},
        {"features": 0},
        {"inputs": {}},
        {"bias": "high"},
        {"wording": {}},
        {"team": {"weights": [1], "wording": None}},
        {"inputs": {name: [0] for name in INPUTS}},
    ],
)
def test_a_model_of_another_form_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    """Another version, missing parts and wrong sizes are one error with a sentence."""
    file = write_model(tmp_path)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(GateModelError, match="fennel kb tune"):
        GateModel.read(file)


def test_another_embedder_is_warned_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cosines of another embedder mean something else: the operator is told, and told once."""
    told = CapturingLogger()
    monkeypatch.setattr(learned, "log", told)
    gate = LearnedGate(GateModels(Path("/nonexistent")), embedder(), "other-embedder")
    for _ in range(2):
        gate.decide("How long is a key valid?", [GOOD], ())
    assert [("another embedder" in call.args[0], call.kwargs["embedder"]) for call in told.calls] == [
        (True, "other-embedder")
    ]


def test_the_wording_has_its_own_embedder() -> None:
    """An index of another embedder leaves the wording's alone; the same one is not loaded twice."""
    assert wording_embedder(embedder()) is embedder()
    assert wording_embedder(WordEmbedder()).id == embedder().id
