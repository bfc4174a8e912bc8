"""Learn the gate's weights from the shipped questions, and write them to `workers/gates/weights.json`.

    python -m benchmarks.train_gate [--dry]

The two scores that divide answers from refusals are read off questions of products that the weights, learned without
them, had not seen: `min_score` at the best F1, `sure_score` where nine of ten answers are right. Run it after a change
of the features, the embedder or the questions; the same input gives the same file.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate_data import HANDBOOK, Sample, open_shelf, sample
from workers.gates.curve import Curve, auc
from workers.gates.model import SHIPPED_FILE, GateModel
from workers.gates.training import TeamTraining, fit_shipped

SURE_PRECISION = 0.9


def main() -> None:
    """Learn and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry", action="store_true", help="print the figures, write nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        retriever, embedder = open_shelf(Path(folder))
        whole = sample(retriever, embedder)
    scores, rows = held_out(whole, embedder.id)
    curve = Curve.of(scores, whole.answered[rows])
    f1, min_score = curve.best_f1()
    model = learn(whole, embedder.id)
    model = replace(model, min_score=min_score, sure_score=curve.score_at(SURE_PRECISION) or 1.0)
    said = f"{len(set(whole.lines))} questions; by products not learned from: F1 {f1:.3f}"
    print(f"{said}, recall at precision 0.90 {curve.recall_at(0.9):.3f}, AUC {auc(scores, whole.answered[rows]):.3f}")
    print(f"min_score {model.min_score:.3f}, sure_score {model.sure_score:.3f}")
    if not arguments.dry:
        model.write(SHIPPED_FILE, {"made_by": "python -m benchmarks.train_gate"})


def learn(known: Sample, embedder: str) -> GateModel:
    """The model that these lines teach."""
    wording = [line.wording for line in known.lines]
    return fit_shipped(known.measured, wording, known.answered, known.products.tolist(), embedder)


def held_out(whole: Sample, embedder: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The scores of the chats' lines by models that learned from the other products, and which rows those are."""
    scores = np.zeros(len(whole.lines))
    for product in sorted(set(whole.products.tolist()) - {HANDBOOK}):
        judged = whole.products == product
        model = learn(whole.where(~judged), embedder)
        logits = TeamTraining(model, whole.where(judged).measured).shipped_logits
        scores[judged] = 1 / (1 + np.exp(-logits))
    rows = whole.products != HANDBOOK
    return scores[rows], rows


if __name__ == "__main__":
    main()
