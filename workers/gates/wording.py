"""Wording: a linear model of how a text is put, by its character n-grams and its vector.

The n-grams are weighed as in tf-idf (sublinear counts, inverse document frequency, length 1), so that what
scikit-learn learned is computed here from plain numbers.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from workers.knowledge.words import normalise

Numbers = NDArray[np.float64]

_MAX_CHARACTERS = 600  # of a pasted log the rest says nothing more
_LONGEST_GRAM = 3
_WITH_DIGIT = re.compile(r"[a-z_]*\d[a-z0-9_]*")
_SPACES = re.compile(r"\s+")


def grams(text: str) -> list[str]:
    """The n-grams of one to three characters. Numbers and codes are one sign: how it is put, not what it is about."""
    plain = normalise(text[:_MAX_CHARACTERS])
    plain = f" {_SPACES.sub(' ', _WITH_DIGIT.sub('0', plain)).strip()} "
    return [plain[at : at + size] for size in range(1, _LONGEST_GRAM + 1) for at in range(len(plain) - size + 1)]


@dataclass(frozen=True, slots=True)
class Wording:
    """Scores a text for each class: log-odds that are not calibrated.

    `places` says in which row of `gram_weights` an n-gram stands, `idf` how rare it is; the columns are the classes.
    """

    places: Mapping[str, int]
    idf: Numbers
    gram_weights: Numbers
    vector_weights: Numbers
    bias: Numbers

    def scores(self, text: str, vector: Numbers) -> Numbers:
        """The scores of the classes."""
        counts = Counter(gram for gram in grams(text) if gram in self.places)
        rows = np.fromiter((self.places[gram] for gram in counts), np.int64, len(counts))
        weighed = np.fromiter((1 + math.log(count) for count in counts.values()), float, len(counts)) * self.idf[rows]
        length = float(np.linalg.norm(weighed))
        found: Numbers = self.bias + vector @ self.vector_weights
        return found + (weighed / length) @ self.gram_weights[rows] if length else found

    def to_body(self) -> dict[str, Any]:
        """As plain lists."""
        return {
            "grams": list(self.places),
            "idf": _rounded(self.idf),
            "gram_weights": _rounded(self.gram_weights),
            "vector_weights": _rounded(self.vector_weights),
            "bias": _rounded(self.bias),
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError where the lists do not fit together."""
        places = {str(gram): at for at, gram in enumerate(body["grams"])}
        idf, gram_weights, vector_weights, bias = (
            np.array(body[name], float) for name in ("idf", "gram_weights", "vector_weights", "bias")
        )
        gram_weights = gram_weights.reshape(len(places), len(bias))
        if idf.shape != (len(places),) or vector_weights.shape[1:] != bias.shape:
            raise ValueError("the lists do not fit together")
        return cls(places, idf, gram_weights, vector_weights, bias)


def _rounded(numbers: Numbers) -> list[Any]:
    """With four digits that count: more would only make the file longer."""
    flat: Iterable[float] = (float(f"{number:.4g}") for number in numbers.ravel())
    rounded: list[Any] = np.array(list(flat)).reshape(numbers.shape).tolist()
    return rounded


def shares(scores: Numbers) -> Numbers:
    """The scores of each row as shares that add up to 1."""
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    shared: Numbers = raised / raised.sum(axis=1, keepdims=True)
    return shared
