"""The outbox: what is told of a question as far as it may be lost. Final answers go with RQ's own transaction."""

from __future__ import annotations

import redis
import structlog

from contract import names
from contract.answer import PartialAnswer
from contract.question import Question
from contract.why import Why

log = structlog.get_logger(__name__)


class Outbox:
    """Publishes growing answers, and keeps why they are as they are. Thread-safe."""

    def __init__(self, connection: redis.Redis) -> None:
        self._connection = connection

    def publish(self, question: Question, text: str) -> None:
        """Let the bot know the whole text so far; an empty one says that the work has begun."""
        partial = PartialAnswer(question.id, text)
        try:
            self._connection.xadd(
                names.partials_stream(question.platform),
                {"partial": partial.to_wire()},
                maxlen=names.PARTIALS_KEPT,
                approximate=True,
            )
        except redis.RedisError as error:
            # The next partial holds this one's text, and the final one all of it.
            log.debug("a partial answer was not published", question=question.id, error=str(error))

    def explain(self, why: Why, ttl_s: float) -> None:
        """Keep what the gate decided, for `fennel why`."""
        try:
            self._connection.set(names.why_key(why.question_id), why.to_wire(), px=max(1, int(1000 * ttl_s)))
        except redis.RedisError as error:
            # The answer matters more than its story.
            log.debug("the reasons of an answer were not kept", question=why.question_id, error=str(error))
