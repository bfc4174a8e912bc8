"""A worker whose questions are prompts: ``python -m benchmarks.whole_way_worker URL``; no search, gate or grounding.

The rest is what a real one has: the queue, its threads, partial answers, the engine process, the answers stream.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Sequence

import redis
import structlog

from config.loading import load_settings
from contract.question import Question
from contract.turn import Turn
from tests.workers.plain_answer import PlainAnswer
from workers.answerer import Answerer
from workers.engine.engine import ChatTurn, GenerationRequest
from workers.engine.generation import Generate, Publish
from workers.engine.supervisor import EngineSupervisor
from workers.outbox import Outbox
from workers.worker import QuestionWorker

BETWEEN = "\n\n"


def request_of(name: str, text: str, new_tokens: int) -> GenerationRequest:
    """What stands before the empty line is the system's turn, what stands behind it the person's."""
    shared, _, own = text.partition(BETWEEN)
    return GenerationRequest(name, (ChatTurn("system", shared), ChatTurn("user", own)), new_tokens)


class PromptPipeline:
    """Has the engine go on from the question's text, and publishes what it makes once a second."""

    def __init__(self, new_tokens: int, interval_s: float) -> None:
        self._new_tokens = new_tokens
        self._interval_s = interval_s

    def answer(self, question: Question, turns: Sequence[Turn], generate: Generate, publish: Publish) -> PlainAnswer:
        """Answer with what the engine makes."""
        generation = generate(request_of(question.id, question.text, self._new_tokens))
        first_text_at_s = None
        while not generation.wait(self._interval_s):
            text = generation.text()
            publish(text)
            if text and first_text_at_s is None:
                first_text_at_s = time.monotonic()
        return PlainAnswer(generation.result(), first_text_at_s=first_text_at_s)


def main(url: str) -> None:
    """Work until SIGTERM."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    settings = load_settings()
    connection = redis.Redis.from_url(url)
    engine = EngineSupervisor(settings.engine, settings.models_folder, slots=settings.worker.max_in_flight)
    pipeline = PromptPipeline(settings.engine.max_new_tokens, settings.worker.partial_interval_s)
    answerer = Answerer(connection, pipeline, Outbox(connection), engine.submit, settings)
    worker = QuestionWorker("whole", connection, answerer, settings, ready=lambda: engine.ready)
    threading.Thread(target=engine.start, name="engine", daemon=True).start()
    worker.work()
    engine.stop()


if __name__ == "__main__":
    main(sys.argv[1])
