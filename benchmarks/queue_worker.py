"""One worker that does nothing, as fast as it can: ``python -m benchmarks.queue_worker URL KIND``, RQ's or ours."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Sequence

import redis
import structlog
from rq import SimpleWorker, Worker
from rq.serializers import JSONSerializer
from rq.worker import SpawnWorker

from config.loading import load_settings
from contract.question import Question
from contract.turn import Turn
from tests.workers.plain_answer import PlainAnswer
from workers.answerer import Answerer
from workers.engine.engine import GenerationRequest
from workers.engine.generation import EngineDiedError, Generate, Generation, Publish
from workers.outbox import Outbox
from workers.worker import QuestionWorker

RQ_KINDS = {"rq Worker (fork)": Worker, "rq SpawnWorker": SpawnWorker, "rq SimpleWorker": SimpleWorker}
PLAIN_QUEUE = "plain"


def no_op(question: str) -> float:
    """The job of RQ's workers: tells when it was begun."""
    return time.time()


class NoOpPipeline:
    """Answers at once with the time, which is when a real one would ask the engine."""

    def answer(self, question: Question, turns: Sequence[Turn], generate: Generate, publish: Publish) -> PlainAnswer:
        """Tell the time."""
        return PlainAnswer(repr(time.time()))


def _no_engine(request: GenerationRequest) -> Generation:
    raise EngineDiedError("no engine is measured here")


def main(url: str, kind: str) -> None:
    """Run one worker until SIGTERM."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    connection = redis.Redis.from_url(url)
    if kind in RQ_KINDS:
        worker = RQ_KINDS[kind]([PLAIN_QUEUE], connection=connection, serializer=JSONSerializer, name="plain")
        worker.work(logging_level="WARNING")
        return
    settings = load_settings()
    settings = settings.model_copy(update={"worker": settings.worker.model_copy(update={"max_in_flight": 16})})
    answerer = Answerer(connection, NoOpPipeline(), Outbox(connection), _no_engine, settings)
    QuestionWorker("plain", connection, answerer, settings, ready=lambda: True).work()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
