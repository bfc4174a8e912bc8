"""The gate's model: weights that were learned, and how they make a score. No scikit-learn: plain numbers from JSON.

The shipped model has two parts: the wording tells a question from small talk and from a remark, and a logistic
regression over the features and the wording's scores says how likely the passages answer. A team's model adds a third,
which moves the shipped score by what the team's own questions taught.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from contract.errors import FennelError
from workers.gates.features import NAMES, VERSION, features
from workers.gates.wording import Numbers, Wording, shares
from workers.knowledge.retriever import ScoredPassage

CLASSES = ("question", "small_talk", "remark")
_CROSSED = ("dense", "score", "coverage", "covered", "known", "dense_lead", "coverage_lead", "label")
INPUTS = (*NAMES, *(f"wording_{one}" for one in CLASSES), "asked", *(f"asked_{name}" for name in _CROSSED))
"""What the regression weighs: the features, the wording's score of each class, the share of a question by its wording,
and that share times some features: a remark may be as near to a passage as a question, and still wants no answer."""

SHIPPED_FILE = Path(__file__).with_name("weights.json")
_FORM = 1
_NAMED_REASONS = 3


_CROSSED_PLACES = [NAMES.index(name) for name in _CROSSED]


def inputs_of(seen: Numbers, worded: Numbers) -> Numbers:
    """The inputs, a row for each row of features and of the wording's scores."""
    asked = shares(worded)[:, :1]
    return np.hstack([seen, worded, asked, asked * seen[:, _CROSSED_PLACES]])


class GateModelError(FennelError):
    """The file holds no model that this version can use; the text says why in a sentence."""


@dataclass(frozen=True, slots=True)
class Team:
    """What a team's questions taught: `weights` over the shipped logit and the standardised inputs, and a wording."""

    weights: Numbers
    wording: Wording


@dataclass(frozen=True, slots=True)
class Judgement:
    """`score`: how likely the passages answer, 0 to 1. `wording`: each class's share. `pulls`: what moved it most."""

    score: float
    wording: Mapping[str, float]
    pulls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GateModel:
    """A model. `min_score` is what a question has to reach to be answered, `sure_score` where nobody asked us.

    `embedder` names the embedder whose cosines the weights were learned with.
    """

    embedder: str
    wording: Wording
    means: Numbers
    scales: Numbers
    weights: Numbers
    bias: float
    min_score: float
    sure_score: float
    team: Team | None = None

    def judge(self, question: str, hits: Sequence[ScoredPassage], vector: Numbers) -> Judgement:
        """Judge a question by what was found for it (at least one passage) and by its own vector."""
        worded = self.wording.scores(question, vector)
        inputs = self.standardised(inputs_of(features(question, hits)[None], worded[None]))[0]
        pulls = inputs * self.weights
        logit = float(pulls.sum()) + self.bias
        if self.team:
            pulls = pulls * self.team.weights[0] + inputs * self.team.weights[1:]
            logit = self.team.weights[0] * logit + float(inputs @ self.team.weights[1:])
            logit += float(self.team.wording.scores(question, vector)[0])
        return Judgement(
            sigmoid(logit), dict(zip(CLASSES, shares(worded[None])[0].tolist(), strict=True)), _strongest(pulls)
        )

    def wording_of(self, question: str, vector: Numbers) -> Mapping[str, float]:
        """The share of each class by the wording alone, where nothing was found."""
        return dict(zip(CLASSES, shares(self.wording.scores(question, vector)[None])[0].tolist(), strict=True))

    def standardised(self, inputs: Numbers) -> Numbers:
        """The inputs with mean 0 and deviation 1 over the questions that the shipped model learned from."""
        standard: Numbers = (inputs - self.means) / self.scales
        return standard

    def write(self, file: Path, about: Mapping[str, Any]) -> None:
        """Write the model; whoever reads the file sees the old or the new one. `about` is for people."""
        body: dict[str, Any] = {
            "form": _FORM,
            "features": VERSION,
            "about": dict(about),
            "embedder": self.embedder,
            "min_score": round(self.min_score, 4),
            "sure_score": round(self.sure_score, 4),
            "inputs": {
                name: [float(f"{number:.5g}") for number in numbers]
                for name, *numbers in zip(INPUTS, self.means, self.scales, self.weights, strict=True)
            },
            "bias": round(self.bias, 5),
            "wording": self.wording.to_body(),
        }
        if self.team:
            weights = [float(f"{number:.5g}") for number in self.team.weights]
            body["team"] = {"weights": weights, "wording": self.team.wording.to_body()}
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f"{file.name}.new")
        new.write_text(_one_line_each(body), encoding="utf-8")
        new.replace(file)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a model; raises GateModelError where it is none, and OSError where there is no file."""
        try:
            body = json.loads(file.read_text(encoding="utf-8"))
            if (body["form"], body["features"]) != (_FORM, VERSION) or tuple(body["inputs"]) != INPUTS:
                raise GateModelError(f"{file} was learned by another version of Fennel: run `fennel kb tune` again")
            return cls._from_body(body)
        except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise GateModelError(
                f"{file} is no gate model ({type(error).__name__}): run `fennel kb tune` again"
            ) from error

    @classmethod
    def _from_body(cls, body: Mapping[str, Any]) -> Self:
        means, scales, weights = np.array(list(body["inputs"].values()), float).T
        model = cls(
            embedder=str(body["embedder"]),
            wording=Wording.from_body(body["wording"]),
            means=means,
            scales=scales,
            weights=weights,
            bias=float(body["bias"]),
            min_score=float(body["min_score"]),
            sure_score=float(body["sure_score"]),
        )
        if "team" not in body:
            return model
        team = Team(np.array(body["team"]["weights"], float), Wording.from_body(body["team"]["wording"]))
        if team.weights.shape != (1 + len(INPUTS),):
            raise ValueError("the team's weights do not fit")
        return replace(model, team=team)


def sigmoid(logit: float) -> float:
    """A logit as a probability; one far below 0 does not overflow."""
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else 1 - 1 / (1 + math.exp(logit))


def _strongest(pulls: Numbers) -> tuple[str, ...]:
    order = np.argsort(-np.abs(pulls), kind="stable")[:_NAMED_REASONS]
    return tuple(f"{INPUTS[at]}{pulls[at]:+.2f}" for at in order)


def _one_line_each(body: Mapping[str, Any]) -> str:
    """JSON with a line for each entry, so that a change of it can be read as one."""
    lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in body.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"
