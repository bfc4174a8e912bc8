"""Learning the gate: what is computed from plain numbers is what scikit-learn learned."""

from __future__ import annotations

import json

import numpy as np
import pytest

from config.environment import CHECKOUT
from tests.workers.gates import embedder
from tests.workers.passages import ShelfRetriever, passage
from workers.gates.curve import Curve, auc, confusion
from workers.gates.evaluation import evaluate
from workers.gates.learned import wording_embedder
from workers.gates.measuring import Measured, measure
from workers.gates.model import SHIPPED_FILE, GateModel
from workers.gates.training import TeamSetting, TeamTraining, fit_wording, for_embedder

PRODUCT = CHECKOUT / "tests" / "data" / "gate" / "tollgate"
LINES = [json.loads(line) for line in (PRODUCT / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
ANSWERED = np.array([line["label"] == "answer" for line in LINES])
NAMES = ("question", "small_talk", "remark")
PAGES = [
    passage(text, title=file.stem, number=number)
    for number, (file, text) in enumerate(
        (file, text)
        for file in sorted((PRODUCT / "docs").glob("*.md"))
        for text in file.read_text(encoding="utf-8").split("\n## ")
    )
]


@pytest.fixture(scope="module")
def measured() -> Measured:
    return measure([line["text"] for line in LINES], ShelfRetriever(PAGES), wording_embedder(embedder()))


@pytest.fixture(scope="module")
def training(measured: Measured) -> TeamTraining:
    return TeamTraining(GateModel.read(SHIPPED_FILE), measured)


@pytest.mark.parametrize("setting", [TeamSetting(0.3, 0, 0, 0.5), TeamSetting(0.3, 1, 3, 0.5)])
def test_a_written_model_judges_as_it_was_judged(training: TeamTraining, setting: TeamSetting) -> None:
    """The score of a question in a chat is the one that the evaluation counted with, shipped and tuned."""
    everything = np.arange(len(LINES))
    team = training.fit(everything, ANSWERED, setting)
    logits = {False: training.shipped_logits, True: training.judge(team, everything)}
    tuned = training.model(team, 0.5)
    for is_tuned, model in ((False, GateModel.read(SHIPPED_FILE)), (True, tuned)):
        for at in range(0, len(LINES), 17):
            text = LINES[at]["text"]
            vector = embedder().embed([text])[0].astype(float)
            score = model.judge(text, ShelfRetriever(PAGES).search(text, 16), vector).score
            assert score == pytest.approx(1 / (1 + np.exp(-logits[is_tuned][at])), abs=1e-6)


def test_the_wording_is_what_was_learned(measured: Measured) -> None:
    """It tells the lines that it learned from apart, and the same lines teach the same numbers."""
    classes = ["question" if right else "remark" for right in ANSWERED]
    first, again = (fit_wording(measured.texts, measured.vectors, _three(classes), NAMES) for _ in range(2))
    assert np.array_equal(first.gram_weights, again.gram_weights)
    scores = np.array(
        [first.scores(text, vector) for text, vector in zip(measured.texts, measured.vectors, strict=True)]
    )
    assert auc(scores[:, 0] - scores[:, 2], ANSWERED) > 0.9


def _three(classes: list[str]) -> list[str]:
    return [line["label"] if line["label"] == "small_talk" else one for line, one in zip(LINES, classes, strict=True)]


def test_the_evaluation_holds_questions_back(
    training: TeamTraining, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels that mean nothing are worth nothing on questions held back, however well they were learned by heart."""
    monkeypatch.setattr(training, "settings", training.settings[1:5:3])
    chance = np.random.default_rng(3).permutation(ANSWERED)
    steps: list[tuple[int, int]] = []
    found = evaluate(training, measured, chance, 0.9, lambda *step: steps.append(step))
    assert 0.3 < found.rows["tuned"].auc < 0.7
    assert steps == [(done, len(steps)) for done in range(1, len(steps) + 1)]
    honest = evaluate(training, measured, ANSWERED, 0.9)
    assert honest.rows["tuned"].auc > 0.75
    assert honest.rows["tuned"].auc > honest.rows["length alone"].auc


def test_another_embedder_gets_its_own_scale(measured: Measured) -> None:
    """Cosines that all lie near 0.85 are spread as those were that the weights learned from; the rest stays."""
    model = GateModel.read(SHIPPED_FILE)
    assert for_embedder(model, measured, model.embedder) is model
    moved = for_embedder(model, measured, "other")
    inputs = TeamTraining(moved, measured)._blocks.inputs
    assert inputs[:, 0].mean() == pytest.approx(0, abs=1e-6)
    assert np.array_equal(moved.means[6:8], model.means[6:8])


def test_the_curve_answers_equal_scores_together() -> None:
    """Four questions with two scores make two points; recall at a precision is the most that any point has."""
    scores, right = np.array([0.9, 0.9, 0.1, 0.1]), np.array([True, True, True, False])
    curve = Curve.of(scores, right)
    assert curve.recall_at(0.9) == pytest.approx(2 / 3)
    assert curve.recall_at(0.7) == 1
    assert curve.score_at(0.9) == pytest.approx(0.5)
    assert Curve.of(scores, ~right).score_at(0.9) is None
    assert confusion(scores, right, 0.5) == {
        "answered_rightly": 2,
        "answered_wrongly": 0,
        "refused_rightly": 1,
        "refused_wrongly": 1,
    }


def test_the_area_counts_pairs() -> None:
    """The share of pairs that stand in the right order, with ties as halves."""
    generator = np.random.default_rng(1)
    scores, right = generator.integers(0, 5, 60).astype(float), generator.random(60) < 0.4
    pairs = [(a > b) + (a == b) / 2 for a in scores[right] for b in scores[~right]]
    assert auc(scores, right) == pytest.approx(np.mean(pairs))
