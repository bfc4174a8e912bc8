"""The gate's labelled questions, and the documents that they are asked about."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from config.environment import CHECKOUT
from config.loading import load_settings
from tests.workers.knowledge.base import files_below
from workers.gates.measuring import Measured, measure
from workers.knowledge.embedder import Embedder, open_embedder
from workers.knowledge.ingest import Ingest
from workers.knowledge.retriever import Retriever
from workers.knowledge.retrievers.hybrid import HybridRetriever
from workers.knowledge.stores.embedded import EmbeddedStore

PRODUCTS = CHECKOUT / "tests" / "data" / "gate"
RETRIEVAL = CHECKOUT / "tests" / "data" / "retrieval"
HANDBOOK = "handbook"
OWN_DOCS = "fennel"
_CLASS_OF = {
    "answer": "question",
    "not_found": "question",
    "small_talk": "small_talk",
    "not_question": "remark",
}


@dataclass(frozen=True, slots=True)
class Line:
    """What somebody said about a product. `source` is the file that answers it, `kind` tells the refused apart."""

    text: str
    label: str
    product: str
    kind: str = ""
    source: str = ""

    @property
    def answered(self) -> bool:
        """Whether the product's documents answer it."""
        return self.label == "answer"

    @property
    def wording(self) -> str:
        """The class that its wording is of."""
        return _CLASS_OF[self.label]


@dataclass(frozen=True, slots=True)
class Sample:
    """Lines with what the gate sees of them, a row each; `alone`: searched in the product's own documents alone."""

    lines: tuple[Line, ...]
    alone: NDArray[np.bool_]
    measured: Measured

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which of them the documents answer."""
        return np.array([line.answered for line in self.lines])

    @property
    def products(self) -> NDArray[np.str_]:
        """Whose chat each is from."""
        return np.array([line.product for line in self.lines])

    def where(self, rows: NDArray[np.bool_]) -> Sample:
        """Some of them."""
        places = np.flatnonzero(rows)
        return Sample(tuple(self.lines[at] for at in places), self.alone[rows], self.measured.at(places))


def products() -> list[str]:
    """The made-up products that have a chat."""
    return sorted(folder.name for folder in PRODUCTS.iterdir() if folder.is_dir())


def chat_lines(product: str) -> list[Line]:
    """What is said in the product's chat."""
    if product == HANDBOOK:
        return _handbook_lines()
    return [
        Line(one["text"], one["label"], product, one.get("kind", ""), one.get("source", ""))
        for one in _read(PRODUCTS / product / "questions.jsonl")
    ]


def open_shelf(folder: Path) -> tuple[Retriever, Embedder]:
    """All documents in a new store, each product in a knowledge base of its own."""
    knowledge = load_settings().knowledge
    embedder = open_embedder(knowledge.embedder)
    store = EmbeddedStore(folder / "index.sqlite3", embedder.id, embedder.dimensions)
    places = {product: PRODUCTS / product / "docs" for product in products()}
    places |= {HANDBOOK: CHECKOUT / "examples" / "handbook", OWN_DOCS: CHECKOUT / "docs"}
    for base, place in places.items():
        ingest = Ingest(
            store, embedder, max_file_mb=knowledge.max_file_mb, passage_tokens=knowledge.passage_tokens, base=base
        )
        for file in files_below([place]):
            ingest.add(file)
    return HybridRetriever(store, embedder), embedder


def sample(retriever: Retriever, embedder: Embedder, advance: Callable[[], None] = lambda: None) -> Sample:
    """Every line, searched in its product's documents and again in all documents together."""
    every = [*products(), HANDBOOK]
    lines: list[Line] = []
    alone: list[bool] = []
    parts: list[Measured] = []
    for product in every:
        said = chat_lines(product)
        for bases in ((product,), (*every, OWN_DOCS)):
            lines += said
            alone += [len(bases) == 1] * len(said)
            parts.append(measure([line.text for line in said], retriever, embedder, bases, advance))
    return Sample(tuple(lines), np.array(alone), Measured.together(parts))


def _handbook_lines() -> list[Line]:
    asked = [
        Line(one["question"], "answer", HANDBOOK, source=one["source"]) for one in _read(RETRIEVAL / "handbook.jsonl")
    ]
    asked += [Line(one["question"], "not_found", HANDBOOK, "near") for one in _read(RETRIEVAL / "unanswerable.jsonl")]
    return asked + [Line(one["text"], "small_talk", HANDBOOK) for one in _read(RETRIEVAL / "smalltalk.jsonl")]


def _read(file: Path) -> Sequence[dict[str, str]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
