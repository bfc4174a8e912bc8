"""How well Fennel finds, refuses and chats, on the questions of `tests/data/retrieval`.

    python -m benchmarks.quality [--json] [--fit]

Retrieval has one number to choose (the weight of the words), the gate four: those are learned on four fifths of the
questions and measured on the last fifth, five times over, so that no question judges what it taught. `--fit` prints
the gate's weights learned from all of them, which are the ones that ship.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from config.settings import CHECKOUT, load_settings
from workers.gates.weighted import DEFAULT_WEIGHTS, Features, WeightedGate, Weights
from workers.knowledge.embedder import open_embedder
from workers.knowledge.ingest import Ingest, files_below
from workers.knowledge.retriever import ScoredPassage
from workers.knowledge.retrievers.hybrid import HybridRetriever
from workers.knowledge.stores.embedded import EmbeddedStore

HANDBOOK = CHECKOUT / "examples" / "handbook"
DATA = CHECKOUT / "tests" / "data" / "retrieval"
SEARCHED = 8
FOLDS = 5
_RIDGE = 0.02  # keeps the weights small where few questions speak for large ones


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what was found for it. `answered_by` is the end of the right page's path; empty: none."""

    text: str
    language: str
    kind: str
    answered_by: str
    hits: list[ScoredPassage]

    @property
    def rank(self) -> int:
        """Where the right page stands among the pages found, from 1; 0: nowhere."""
        pages = list(dict.fromkeys(hit.passage.source for hit in self.hits))
        return next((at for at, page in enumerate(pages, 1) if page.endswith(self.answered_by)), 0)


def main() -> None:
    """Print the figures as a table, or with --json as one object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--fit", action="store_true", help="print the gate's weights learned from all questions")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        retriever = handbook_retriever(Path(folder) / "index.sqlite3")
        asked, searches_ms = ask(retriever)
        figures = {
            "retrieval": retrieval_figures(asked),
            "gate": gate_figures(asked),
            "small_talk": small_talk_figures(retriever),
            "search_ms": {
                "p50": round(statistics.median(searches_ms), 2),
                "p95": round(statistics.quantiles(searches_ms, n=20)[-1], 2),
            },
        }
    if arguments.fit:
        print(fit([Features.of(one.hits) for one in asked], [bool(one.answered_by) for one in asked]))
    if arguments.json:
        print(json.dumps(figures, ensure_ascii=False, indent=2))
    else:
        _print_table(figures)


def handbook_retriever(index_file: Path) -> HybridRetriever:
    """The handbook in a new index, by the settings."""
    knowledge = load_settings().knowledge
    embedder = open_embedder(knowledge.embedder)
    index = EmbeddedStore(index_file, embedder.id, embedder.dimensions)
    ingest = Ingest(index, embedder, max_file_mb=knowledge.max_file_mb, passage_tokens=knowledge.passage_tokens)
    for file in files_below([HANDBOOK]):
        ingest.add(file)
    return HybridRetriever(index, embedder)


def read_lines(name: str) -> list[dict[str, str]]:
    """A file of labelled questions."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def ask(retriever: HybridRetriever) -> tuple[list[Asked], list[float]]:
    """Search for every question; the times are milliseconds, with the embedding of the question."""
    found: list[Asked] = []
    searches_ms: list[float] = []
    for line in [*read_lines("handbook.jsonl"), *read_lines("unanswerable.jsonl")]:
        began_s = time.perf_counter()
        hits = retriever.search(line["question"], SEARCHED)
        searches_ms.append(1000 * (time.perf_counter() - began_s))
        kind = line.get("kind", "unanswerable")
        found.append(Asked(line["question"], line["language"], kind, line.get("source", ""), hits))
    return found, searches_ms


def retrieval_figures(asked: Sequence[Asked]) -> dict[str, dict[str, float]]:
    """Recall at 1 and 5 pages and the mean reciprocal rank, per language and across them."""
    figures = {}
    for language in ("en", "zh"):
        for across in (False, True):
            ranks = [
                one.rank
                for one in asked
                if one.answered_by and one.language == language and (one.kind == "cross") == across
            ]
            figures[f"{language}_across" if across else language] = {
                "questions": len(ranks),
                "recall_at_1": round(sum(rank == 1 for rank in ranks) / len(ranks), 3),
                "recall_at_5": round(sum(0 < rank <= 5 for rank in ranks) / len(ranks), 3),
                "mrr": round(sum(1 / rank for rank in ranks if rank) / len(ranks), 3),
            }
    return figures


def gate_figures(asked: Sequence[Asked]) -> dict[str, dict[str, float]]:
    """The gate on questions it did not learn from, as it ships (it did), and the question's length alone."""
    minimum = load_settings().gate.min_score
    features = [Features.of(one.hits) for one in asked]
    truth = np.array([bool(one.answered_by) for one in asked])
    folds = np.array([int(hashlib.sha256(one.text.encode()).hexdigest(), 16) % FOLDS for one in asked])
    held_out = np.zeros(len(asked))
    for fold in range(FOLDS):
        taught = [(one, bool(right)) for one, right, of in zip(features, truth, folds, strict=True) if of != fold]
        weights = fit([one for one, _ in taught], [right for _, right in taught])
        for at in np.flatnonzero(folds == fold):
            held_out[at] = weights.score(features[at])
    shipped = np.array([DEFAULT_WEIGHTS.score(one) for one in features])
    lengths = np.array([float(len(one.text.encode())) for one in asked])
    return {
        "held_out": _judged(held_out, truth, minimum),
        "shipped": _judged(shipped, truth, minimum),
        "length_alone": _judged(lengths, truth, float(np.median(lengths))),
    }


def small_talk_figures(retriever: HybridRetriever) -> dict[str, float]:
    """How much small talk is told as such, and how many questions are taken for it."""
    gate = WeightedGate(load_settings().gate.min_score)

    def is_talk(text: str) -> bool:
        return gate.decide(text, retriever.search(text, SEARCHED), ()).verdict == "small_talk"

    talk = [line["text"] for line in read_lines("smalltalk.jsonl")]
    questions = [line["question"] for name in ("handbook.jsonl", "unanswerable.jsonl") for line in read_lines(name)]
    told, mistaken = sum(map(is_talk, talk)), sum(map(is_talk, questions))
    return {
        "recall": round(told / len(talk), 3),
        "precision": round(told / max(1, told + mistaken), 3),
        "accuracy": round((told + len(questions) - mistaken) / (len(talk) + len(questions)), 3),
    }


def fit(features: Sequence[Features], truth: Sequence[bool]) -> Weights:
    """Logistic regression by Newton's method, with a ridge; both classes count alike, however many there are."""
    right = np.array(truth, dtype=float)
    inputs = np.column_stack([np.array([astuple(one) for one in features]), np.ones(len(right))])
    shares = np.where(right == 1, 0.5 / right.mean(), 0.5 / (1 - right.mean()))
    ridge = np.diag([_RIDGE, _RIDGE, _RIDGE, 0.0])
    weights = np.zeros(inputs.shape[1])
    for _ in range(50):
        told = 1 / (1 + np.exp(-inputs @ weights))
        slope = inputs.T @ (shares * (told - right)) + ridge @ weights
        curve = (inputs.T * (shares * told * (1 - told))) @ inputs + ridge
        weights -= np.linalg.solve(curve, slope)
    return Weights(*(round(float(weight), 2) for weight in weights))


def _judged(scores: NDArray[np.float64], truth: NDArray[np.bool_], minimum: float) -> dict[str, float]:
    answered = scores >= minimum
    right = int((answered & truth).sum())
    precision = right / max(1, int(answered.sum()))
    recall = right / int(truth.sum())
    above = (scores[truth][:, None] > scores[~truth][None, :]).mean()
    equal = (scores[truth][:, None] == scores[~truth][None, :]).mean()
    return {
        "precision": round(precision, 3),
        "recall": round(recall, 3),
        "f1": round(2 * precision * recall / max(1e-9, precision + recall), 3),
        "recall_at_precision_0.90": round(_recall_at(scores, truth, 0.90), 3),
        "refused_of_unanswerable": round(float((~answered & ~truth).sum() / (~truth).sum()), 3),
        "auc": round(float(above + equal / 2), 3),
    }


def _recall_at(scores: NDArray[np.float64], truth: NDArray[np.bool_], precision: float) -> float:
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(truth[order])
    reached = right / np.arange(1, len(order) + 1) >= precision
    return float(right[reached].max() / truth.sum()) if reached.any() else 0.0


def _print_table(figures: dict[str, Any]) -> None:
    for part, rows in figures.items():
        print(f"\n{part}")
        for name, value in rows.items():
            said = "  ".join(f"{key} {one}" for key, one in value.items()) if isinstance(value, dict) else value
            print(f"  {name:14} {said}")


if __name__ == "__main__":
    main()
