"""Training: how the gate's weights are learned, from labelled questions, with scikit-learn.

The shipped model learns from eight products' chats and the handbook's; its wording is judged by products that it did
not see, so that the regression does not trust it more than it deserves.
A team's model learns from the team's own questions. The shipped score is its first input and everything else is held
small by ridge regression, so that few questions move it little; how small is found by cross-validation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.gates.measuring import Measured, Places
from workers.gates.model import CLASSES, INPUTS, GateModel, Team, inputs_of
from workers.gates.wording import Numbers, Wording, grams

Truth = NDArray[np.bool_]

FOLDS = 5
_SEED = 7
_MAX_ITERATIONS = 2000
_WORDING_STRENGTH = 3.0
_VECTOR_SCALE = 1.0
_SHIPPED_STRENGTH = 0.1
_LEAST_TEXTS_OF_A_GRAM, _LEAST_TEXTS_OF_A_TEAM_GRAM = 3, 2
_MAX_GRAMS = 20_000
_CHOSEN_ON = 2_000  # questions that are enough to choose a setting by
_COSINES = ("dense", "dense_3", "dense_lead", "dense_lead_z", "margin", "margin_passage", "score")


@dataclass(frozen=True, slots=True)
class TeamSetting:
    """How much a team's questions may teach: the scales of the inputs, n-grams and vectors, and the ridge's inverse."""

    inputs: float
    grams: float
    vectors: float
    strength: float


TEAM_SETTINGS = (
    TeamSetting(0.1, 0, 0, 0.5),
    TeamSetting(0.3, 0, 0, 0.5),
    TeamSetting(0.3, 1, 0, 0.5),
    TeamSetting(0.1, 1, 3, 0.1),
    TeamSetting(0.3, 1, 3, 0.1),
    TeamSetting(0.3, 1, 3, 0.5),
)


def fit_wording(
    texts: Sequence[str],
    vectors: Numbers,
    classes: Sequence[str],
    names: Sequence[str] = CLASSES,
    strength: float = _WORDING_STRENGTH,
) -> Wording:
    """Learn to tell the classes by the wording; the columns are in the order of `names`, which must all occur."""
    from scipy import sparse

    counted = _counter(_LEAST_TEXTS_OF_A_GRAM)
    matrix = sparse.hstack([counted.fit_transform(texts), sparse.csr_matrix(vectors * _VECTOR_SCALE)]).tocsr()
    learned = _regression(strength).fit(matrix, classes)
    order = [list(learned.classes_).index(name) for name in names]
    return _wording(counted, learned.coef_[order], learned.intercept_[order], 1.0, _VECTOR_SCALE)


def fit_shipped(
    measured: Measured, classes: Sequence[str], answered: Truth, products: Sequence[str], embedder: str
) -> GateModel:
    """Learn the model that ships. `products` says whose chat each question is from, for the wording's judgement."""
    inputs = inputs_of(measured.features, wording_of_others(measured, classes, products))
    means, scales = inputs.mean(axis=0), inputs.std(axis=0)
    scales = np.where(scales > 0, scales, 1.0)
    learned = _regression(_SHIPPED_STRENGTH, class_weight="balanced").fit((inputs - means) / scales, answered)
    wording = fit_wording(measured.texts, measured.vectors, classes)
    return GateModel(
        embedder, wording, means, scales, learned.coef_[0], float(learned.intercept_[0]), min_score=0.5, sure_score=0.5
    )


def wording_of_others(measured: Measured, classes: Sequence[str], products: Sequence[str]) -> Numbers:
    """The wording's scores of each question, by a wording that was learned from the other products alone."""
    scores = np.zeros((len(measured), len(CLASSES)))
    whose = np.array(products)
    for product in dict.fromkeys(products):
        others = np.flatnonzero(whose != product)
        known = measured.at(others)
        learned = fit_wording(known.texts, known.vectors, [classes[int(at)] for at in others])
        for at in np.flatnonzero(whose == product):
            scores[at] = learned.scores(measured.texts[at], measured.vectors[at])
    return scores


def for_embedder(model: GateModel, measured: Measured, embedder: str) -> GateModel:
    """The model with the cosines' means and deviations of these questions, where they are another embedder's."""
    if model.embedder == embedder or not measured.found.any():
        return model
    means, scales = model.means.copy(), model.scales.copy()
    inputs = _raw_inputs(model, measured)[measured.found]
    for at, name in enumerate(INPUTS):
        if name.removeprefix("asked_") in _COSINES:
            means[at], scales[at] = inputs[:, at].mean(), inputs[:, at].std() or 1.0
    return replace(model, embedder=embedder, means=means, scales=scales)


def _raw_inputs(model: GateModel, measured: Measured) -> Numbers:
    worded = [model.wording.scores(text, vector) for text, vector in zip(measured.texts, measured.vectors, strict=True)]
    return inputs_of(measured.features, np.array(worded))


@dataclass(frozen=True, slots=True)
class _Blocks:
    """What a team's regression is given: the shipped logits, the standardised inputs, vectors and texts."""

    logits: Numbers
    inputs: Numbers
    vectors: Numbers
    texts: Sequence[str]

    def at(self, places: Places) -> _Blocks:
        texts = [self.texts[at] for at in places]
        return _Blocks(self.logits[places], self.inputs[places], self.vectors[places], texts)


class TeamTraining:
    """Learns a team's model from its questions. `settings`: what `choose` chooses among."""

    def __init__(self, shipped: GateModel, measured: Measured) -> None:
        self.settings = TEAM_SETTINGS
        self._shipped = replace(shipped, team=None)
        inputs = shipped.standardised(_raw_inputs(shipped, measured))
        # A question that found nothing is refused without a model.
        inputs[~measured.found] = 0.0
        logits = np.where(measured.found, inputs @ shipped.weights + shipped.bias, -5.0)
        self._blocks = _Blocks(logits, inputs, measured.vectors, measured.texts)

    @property
    def shipped_logits(self) -> Numbers:
        """What the shipped model makes of the questions."""
        return self._blocks.logits

    def choose(self, places: Places, answered: Truth, advance: Callable[[], None] = lambda: None) -> TeamSetting:
        """The setting whose cross-validated log loss is least. `answered` belongs to the places."""
        if len(places) > _CHOSEN_ON:
            from sklearn.model_selection import StratifiedShuffleSplit

            cut = StratifiedShuffleSplit(1, train_size=_CHOSEN_ON, random_state=_SEED)
            kept = next(cut.split(np.zeros(len(places)), answered))[0]
            places, answered = places[kept], answered[kept]
        losses = []
        for setting in self.settings:
            losses.append(_log_loss(self.held_out(places, answered, setting), answered))
            advance()
        return self.settings[int(np.argmin(losses))]

    def held_out(self, places: Places, answered: Truth, setting: TeamSetting) -> Numbers:
        """The logit of each question, by what the others in `FOLDS` folds taught."""
        logits = np.zeros(len(places))
        for taught, judged in _folds(answered):
            logits[judged] = self.judge(self.fit(places[taught], answered[taught], setting), places[judged])
        return logits

    def fit(self, places: Places, answered: Truth, setting: TeamSetting) -> Team:
        """Learn from these questions."""
        from scipy import sparse

        blocks = self._blocks.at(places)
        parts = [sparse.csr_matrix(np.column_stack([blocks.logits, setting.inputs * blocks.inputs]))]
        counted = _counter(_LEAST_TEXTS_OF_A_TEAM_GRAM)
        has_grams = bool(setting.grams)
        if has_grams:
            parts.append(setting.grams * counted.fit_transform(blocks.texts))
        if setting.vectors:
            parts.append(sparse.csr_matrix(setting.vectors * blocks.vectors))
        learned = _regression(setting.strength).fit(sparse.hstack(parts).tocsr(), answered)
        weights = learned.coef_[0]
        of_inputs = 1 + blocks.inputs.shape[1]
        wording = weights[None, of_inputs:]
        if not setting.vectors:
            wording = np.hstack([wording, np.zeros((1, blocks.vectors.shape[1]))])
        scale = np.concatenate([[1.0], np.full(blocks.inputs.shape[1], setting.inputs)])
        return Team(
            weights[:of_inputs] * scale,
            _wording(
                counted if has_grams else None, wording, learned.intercept_, setting.grams, setting.vectors or 1.0
            ),
        )

    def judge(self, team: Team, places: Places) -> Numbers:
        """The logits of these questions by a team's model."""
        blocks = self._blocks.at(places)
        worded = [
            float(team.wording.scores(text, vector)[0])
            for text, vector in zip(blocks.texts, blocks.vectors, strict=True)
        ]
        logits: Numbers = team.weights[0] * blocks.logits + blocks.inputs @ team.weights[1:] + np.array(worded)
        return logits

    def model(self, team: Team, min_score: float) -> GateModel:
        """The whole model, to be written."""
        return replace(self._shipped, team=team, min_score=min_score, sure_score=min_score)


# Importing scikit-learn changes the environment, and takes a second: only who learns does it, when it does.


def _counter(least_texts: int) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer=grams, min_df=least_texts, sublinear_tf=True, max_features=_MAX_GRAMS)


def _regression(strength: float, class_weight: str | None = None) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=strength, class_weight=class_weight, max_iter=_MAX_ITERATIONS)


def _wording(counted: Any | None, weights: Numbers, bias: Numbers, grams_by: float, by: float) -> Wording:
    """The learned weights as plain numbers; n-grams first, then the vector's dimensions."""
    names = list(counted.get_feature_names_out()) if counted else []
    idf = counted.idf_ if counted else np.zeros(0)
    return Wording(
        {str(name): at for at, name in enumerate(names)},
        idf,
        np.ascontiguousarray(weights[:, : len(names)].T) * grams_by,
        np.ascontiguousarray(weights[:, len(names) :].T) * by,
        np.array(bias, float),
    )


def _folds(answered: Truth) -> list[tuple[Places, Places]]:
    from sklearn.model_selection import StratifiedKFold

    rarer = int(min(answered.sum(), (~answered).sum()))
    folds = StratifiedKFold(max(2, min(FOLDS, rarer)), shuffle=True, random_state=_SEED)
    return list(folds.split(np.zeros(len(answered)), answered))


def _log_loss(logits: Numbers, answered: Truth) -> float:
    return float(np.mean(np.logaddexp(0, np.where(answered, -logits, logits))))
