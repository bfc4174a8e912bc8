"""What a worker counts; the engine's own counters stand in `workers/engine/metrics.py`."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from contract.answer import FinalAnswer

BUCKETS_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)

answers = Counter("fennel_answers", "Questions that a worker ended, by outcome.", ["outcome"])
reclaims = Counter("fennel_reclaims", "Questions that went back to the queue because the engine died with them.")
retries = Counter("fennel_retries", "Questions that failed and are tried again.")
queued_seconds = Histogram("fennel_queued_seconds", "From accepted to begun.", buckets=BUCKETS_S)
first_text_seconds = Histogram("fennel_first_text_seconds", "From accepted to the first text.", buckets=BUCKETS_S)
answer_seconds = Histogram("fennel_answer_seconds", "From accepted to the whole answer.", buckets=BUCKETS_S)


def count_answer(final: FinalAnswer) -> None:
    """Count an answer that is written."""
    answers.labels(final.outcome.value).inc()
    queued_seconds.observe(final.queued_ms / 1000)
    first_text_seconds.observe(final.first_text_ms / 1000)
    answer_seconds.observe(final.total_ms / 1000)
