"""Evaluation: what a team's model is worth on questions that it did not learn from.

Two ways of holding questions back: at random, several times, and forward in order, where the later ones are judged by
what the earlier ones taught, as it will be in use. Baselines stand beside it: one number alone, and the shipped model.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from workers.gates.curve import Curve, Truth, auc
from workers.gates.measuring import Measured, Places
from workers.gates.training import TeamSetting, TeamTraining
from workers.gates.wording import Numbers

_SPLITS = 5
_JUDGED_SHARE = 0.3
_SEED = 11
_BASELINES = {"cosine alone": "dense", "words alone": "coverage", "length alone": "length"}


@dataclass(frozen=True, slots=True)
class Row:
    """How well some scores tell the answerable: means over the random splits, their spread, and forward in order."""

    recall: float
    recall_spread: float
    recall_forward: float
    auc: float
    f1: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`rows` by name, the model's first. `logits`: each question's by what the others taught; `curve` is theirs.

    `min_score` is where the precision is reached; `reached` says whether any score does.
    """

    rows: Mapping[str, Row]
    setting: TeamSetting
    logits: Numbers
    curve: Curve
    min_score: float
    reached: bool

    @property
    def logits_as_scores(self) -> Numbers:
        """The logits as the probabilities that `min_score` is one of."""
        return _shares(self.logits)


def evaluate(
    training: TeamTraining,
    measured: Measured,
    answered: Truth,
    precision: float,
    on_step: Callable[[int, int], None] = lambda *_: None,
) -> Evaluation:
    """Judge what these questions teach, and choose how much they may; `on_step(done, whole)` is told how far it is."""
    baselines = {"as shipped": training.shipped_logits}
    baselines |= {name: measured.column(column) for name, column in _BASELINES.items()}
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ("tuned", *baselines)}
    splits = [*(_random_split(answered, _SEED + number) for number in range(_SPLITS)), _forward_split(answered)]
    steps, whole = itertools.count(1), len(training.settings) * (len(splits) + 1)

    def advance() -> None:
        on_step(next(steps), whole)

    for taught, judged in splits:
        setting = training.choose(taught, answered[taught], advance)
        tuned = training.judge(training.fit(taught, answered[taught], setting), judged)
        for name, scores in (("tuned", tuned), *((name, scores[judged]) for name, scores in baselines.items())):
            curve = Curve.of(scores, answered[judged])
            found[name].append((curve.recall_at(precision), auc(scores, answered[judged]), curve.best_f1()[0]))
    everything = np.arange(len(answered))
    setting = training.choose(everything, answered, advance)
    logits = training.held_out(everything, answered, setting)
    curve = Curve.of(_shares(logits), answered)
    min_score = curve.score_at(precision)
    reached = min_score is not None
    if min_score is None:
        min_score = float(curve.scores[int(np.argmax(curve.precision))])
    rows = {name: _row(values) for name, values in found.items()}
    return Evaluation(rows, setting, logits, curve, min_score, reached)


def _shares(logits: Numbers) -> Numbers:
    shares: Numbers = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
    return shares


def _row(values: list[tuple[float, float, float]]) -> Row:
    at_random = np.array(values[:-1])
    means = at_random.mean(axis=0)
    return Row(float(means[0]), float(at_random[:, 0].std()), values[-1][0], float(means[1]), float(means[2]))


def _random_split(answered: Truth, seed: int) -> tuple[Places, Places]:
    generator = np.random.default_rng(seed)
    judged = np.zeros(len(answered), bool)
    for value in (True, False):
        places = np.flatnonzero(answered == value)
        judged[generator.permutation(places)[: _judged_of(len(places))]] = True
    return np.flatnonzero(~judged), np.flatnonzero(judged)


def _forward_split(answered: Truth) -> tuple[Places, Places]:
    """The last ones of each class are judged: the order of the two files against one another is not known."""
    judged = np.zeros(len(answered), bool)
    for value in (True, False):
        places = np.flatnonzero(answered == value)
        judged[places[len(places) - _judged_of(len(places)) :]] = True
    return np.flatnonzero(~judged), np.flatnonzero(judged)


def _judged_of(count: int) -> int:
    return max(1, round(_JUDGED_SHARE * count))
