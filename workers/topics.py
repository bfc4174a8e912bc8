"""Topics: questions that mean about the same, put together; what people ask and nobody has written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workers.knowledge.embedder import Embedder

SAME_TOPIC_DISTANCE = 0.45
"""Cosine distance between the means of two topics below which they are one."""
MAX_QUESTIONS = 2_000
"""The time that clustering takes grows with their square; the newest are looked at."""


@dataclass(frozen=True, slots=True)
class Topic:
    """Questions about the same. `name` is the one that is nearest to all of them."""

    name: str
    questions: tuple[str, ...]


def topics(questions: Sequence[str], embedder: Embedder) -> list[Topic]:
    """The topics of the questions, the most asked first. Raises KnowledgeError where the embedder cannot be used."""
    asked = [" ".join(text.split()) for text in questions if text.strip()][-MAX_QUESTIONS:]
    if not asked:
        return []
    # Imported when it is wanted: it starts threads of its own.
    from sklearn.cluster import AgglomerativeClustering

    vectors = np.asarray(embedder.embed(asked), dtype=np.float32)
    labels = np.zeros(1, dtype=int)
    if len(asked) > 1:
        clustering = AgglomerativeClustering(
            n_clusters=None, distance_threshold=SAME_TOPIC_DISTANCE, metric="cosine", linkage="average"
        )
        labels = clustering.fit_predict(vectors)
    found = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        middle = vectors[members].mean(axis=0)
        nearest = members[int(np.argmax(vectors[members] @ middle))]
        found.append(Topic(asked[nearest], tuple(asked[at] for at in members)))
    return sorted(found, key=lambda topic: -len(topic.questions))
