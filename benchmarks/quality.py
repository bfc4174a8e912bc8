"""How well Fennel tells what it can answer, and how true its answers are to their passages.

    python -m benchmarks.quality [--json] [--answers N]

The gate is judged on the chats of eight made-up products (`tests/data/gate`): each product's lines by weights that
learned from the other products alone, at a threshold that was read off the other products. Beside it stand what one
number alone can do, at thresholds found in the same way. Each line is searched twice: in its own product's documents,
and in all products' documents and more together, where much is near that does not answer.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from benchmarks.answers import answer_figures
from benchmarks.gate_data import HANDBOOK, Line, Sample, open_shelf, products, sample
from benchmarks.report import print_table, write_results
from benchmarks.train_gate import learn
from workers.gate import COMPARED_HITS
from workers.gates.curve import Curve, auc
from workers.gates.learned import GateModels, LearnedGate, refuse, wording_embedder
from workers.gates.measuring import Places
from workers.gates.model import CLASSES, GateModel
from workers.gates.small_talk import small_talk
from workers.gates.training import TeamTraining
from workers.gates.wording import shares
from workers.knowledge.embedder import Embedder
from workers.knowledge.retriever import Retriever

Scores = NDArray[np.float64]

PRECISION = 0.9
BASELINES = {
    "cosine alone": "dense",
    "words alone": "coverage",
    "cosine and words": "score",
    "length alone": "length",
}
LABELS = ("answer", "not_found", "small_talk", "not_question")
_TIMED = 200
_TUNE_SPLITS = 3
_TUNE_SHARE = 0.7


def main() -> None:
    """Print the figures as tables, or with --json as one object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--answers", type=int, default=80, help="questions to be answered, with the model (default 80)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Progress(transient=True, disable=arguments.json) as progress:
        retriever, embedder = open_shelf(Path(folder))
        task = progress.add_task("searching", total=None)
        whole = sample(retriever, embedder, lambda: progress.advance(task))
        progress.update(task, description="learning and judging")
        chats = whole.where(whole.products != HANDBOOK)
        models = {product: learn(whole.where(whole.products != product), embedder.id) for product in products()}
        figures: dict[str, Any] = {
            "gate_alone": gate_figures(chats.where(chats.alone), models),
            "gate_together": gate_figures(chats.where(~chats.alone), models),
            "tuned_together": tuned_figures(whole, embedder.id),
            "classes": class_figures(chats.where(chats.alone), models),
            "gate_ms": time_figures(retriever, embedder, chats.lines),
        }
        progress.update(task, description="answering")
        figures["answers"] = answer_figures(retriever, embedder, arguments.answers)
    if arguments.json:
        print(json.dumps(figures, ensure_ascii=False, indent=2))
    else:
        _print_tables(figures)
    with contextlib.redirect_stdout(None) if arguments.json else contextlib.nullcontext():
        write_results("quality", figures)


def gate_figures(chats: Sample, models: dict[str, GateModel]) -> dict[str, dict[str, float]]:
    """The gate and the baselines, each product judged by what the others taught; means over the products."""
    rows = {"gate": held_out_scores(chats, models)}
    rows |= {name: chats.measured.column(column) for name, column in BASELINES.items()}
    return {name: _judged(scores, chats) for name, scores in rows.items()}


def held_out_scores(chats: Sample, models: dict[str, GateModel]) -> Scores:
    """The score of each line, by the model that learned from the other products."""
    scores = np.zeros(len(chats.lines))
    for product, model in models.items():
        rows = chats.products == product
        logits = TeamTraining(model, chats.where(rows).measured).shipped_logits
        scores[rows] = 1 / (1 + np.exp(-logits))
    return scores


def tuned_figures(whole: Sample, embedder: str) -> dict[str, dict[str, float]]:
    """What `fennel kb tune` adds: two products at a time are a team, which the weights did not learn from."""
    names = products()
    found: dict[str, list[tuple[float, float]]] = {"shipped": [], "tuned": []}
    for first, second in zip(names[::2], names[1::2], strict=True):
        ours = np.isin(whole.products, [first, second])
        model = learn(whole.where(~ours), embedder)
        team = whole.where(ours & ~whole.alone)
        training = TeamTraining(model, team.measured)
        for seed in range(_TUNE_SPLITS):
            taught, judged = _split(len(team.lines), seed)
            setting = training.choose(taught, team.answered[taught])
            learned = training.fit(taught, team.answered[taught], setting)
            for name, logits in (
                ("shipped", training.shipped_logits[judged]),
                ("tuned", training.judge(learned, judged)),
            ):
                curve = Curve.of(logits, team.answered[judged])
                found[name].append((curve.recall_at(PRECISION), auc(logits, team.answered[judged])))
    return {
        name: {
            "recall_at_precision_0.90": round(statistics.mean(one[0] for one in values), 3),
            "auc": round(statistics.mean(one[1] for one in values), 3),
        }
        for name, values in found.items()
    }


def class_figures(chats: Sample, models: dict[str, GateModel]) -> dict[str, dict[str, float]]:
    """How many lines of each class are told as such, and what share of those told as such are."""
    scores = held_out_scores(chats, models)
    told = []
    for at, line in enumerate(chats.lines):
        model = models[line.product]
        worded = shares(model.wording.scores(line.text, chats.measured.vectors[at])[None])[0]
        if small_talk(line.text) is not None:
            told.append("small_talk")
        elif scores[at] >= model.min_score:
            told.append("answer")
        else:
            told.append(refuse(line.text, dict(zip(CLASSES, worded.tolist(), strict=True))))
    truth, said = np.array([line.label for line in chats.lines]), np.array(told)
    return {
        label: {
            "lines": int((truth == label).sum()),
            "recall": round(float((said[truth == label] == label).mean()), 3),
            "precision": round(float((truth[said == label] == label).mean()), 3),
            "answered": round(float((said[truth == label] == "answer").mean()), 3),
        }
        for label in LABELS
    }


def time_figures(retriever: Retriever, embedder: Embedder, lines: Sequence[Line]) -> dict[str, float]:
    """Milliseconds of a decision beyond the search, and of the search."""
    gate = LearnedGate(GateModels(Path("/nonexistent")), wording_embedder(embedder), embedder.id)
    everywhere = sorted({line.product for line in lines})
    decisions_ms, searches_ms = [], []
    for line in lines[:: max(1, len(lines) // _TIMED)]:
        began_s = time.perf_counter()
        hits = retriever.search(line.text, COMPARED_HITS, everywhere)
        found_s = time.perf_counter()
        gate.decide(line.text, hits, ())
        searches_ms.append(1000 * (found_s - began_s))
        decisions_ms.append(1000 * (time.perf_counter() - found_s))
    return {
        "decision_p50": round(statistics.median(decisions_ms), 2),
        "decision_p95": round(statistics.quantiles(decisions_ms, n=20)[-1], 2),
        "search_p50": round(statistics.median(searches_ms), 2),
    }


def _judged(scores: Scores, chats: Sample) -> dict[str, float]:
    """Ranking figures are means over the products; the threshold of F1 is the best of the other products."""
    ranked, answered = [], np.zeros(len(scores), bool)
    for product in products():
        rows = chats.products == product
        threshold = Curve.of(scores[~rows], chats.answered[~rows]).best_f1()[1]
        answered[rows] = scores[rows] >= threshold
        curve = Curve.of(scores[rows], chats.answered[rows])
        ranked.append((curve.recall_at(PRECISION), auc(scores[rows], chats.answered[rows])))
    right = int((answered & chats.answered).sum())
    precision, recall = right / max(1, int(answered.sum())), right / int(chats.answered.sum())
    return {
        "f1": round(2 * precision * recall / max(1e-9, precision + recall), 3),
        "precision": round(precision, 3),
        "recall": round(recall, 3),
        "recall_at_precision_0.90": round(statistics.mean(one[0] for one in ranked), 3),
        "pooled_recall_at_precision_0.90": round(Curve.of(scores, chats.answered).recall_at(PRECISION), 3),
        "auc": round(statistics.mean(one[1] for one in ranked), 3),
    }


def _split(lines: int, seed: int) -> tuple[Places, Places]:
    order = np.random.default_rng(seed).permutation(lines)
    taught = int(_TUNE_SHARE * lines)
    return np.sort(order[:taught]), np.sort(order[taught:])


def _print_tables(figures: dict[str, Any]) -> None:
    for part, rows in figures.items():
        values = rows if isinstance(next(iter(rows.values())), dict) else {"": rows}
        columns = list(next(iter(values.values())))
        print_table(part, ["", *columns], [[name, *map(str, row.values())] for name, row in values.items()])


if __name__ == "__main__":
    main()
