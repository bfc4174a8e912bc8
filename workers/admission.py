"""Admission: from a job that was taken to the question in it, or to the end of a job that holds none."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import redis
import structlog
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer

from config.sections import WorkerSettings
from contract import names
from contract.question import Question
from contract.wire import NewerWireError, WireError
from workers.assignment import Assignment
from workers.ledger import Ledger
from workers.reaper import failed_end

NEWER_WAITS_S = 1.0
"""How long the place of a question that only a newer worker reads is not given to another: no busy loop."""
NEWER_TOLD_EVERY_S = 60.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """A job that was taken from the queue and is not admitted yet; `number` counts in the order of the queue."""

    job_id: str
    number: int
    at_s: float


class Admission:
    """Admits jobs, many at a time: each in the thread of its question. Raises redis.RedisError."""

    def __init__(
        self,
        connection: redis.Redis,
        queue: Queue,
        ledger: Ledger,
        settings: WorkerSettings,
        lease_s: int,
        stop: threading.Event,
    ) -> None:
        self._connection = connection
        self._queue = queue
        self._ledger = ledger
        self._settings = settings
        self._lease_s = lease_s
        self._stop = stop
        self._newer_told_s = -NEWER_TOLD_EVERY_S

    def admit(self, taken: Taken) -> Assignment | None:
        """Take the job into our hands; None where it is gone or no question, and has its end."""
        try:
            job = Job.fetch(taken.job_id, connection=self._connection, serializer=JSONSerializer)
        except NoSuchJobError:
            self._connection.lrem(self._queue.intermediate_queue_key, 1, taken.job_id)
            return None
        except redis.RedisError:
            raise
        except Exception as error:
            # Whatever is in this job, its neighbours must not suffer.
            log.error("a job was refused", job=taken.job_id, reason=str(error))
            self._ledger.refuse(taken.job_id, f"the job cannot be read: {error}")
            return None
        try:
            question = question_of(job)
        except WireError as error:
            if isinstance(error, NewerWireError) and self._leave_to_newer(job.id, str(error)):
                return None
            log.error("a job was refused", job=job.id, reason=str(error))
            # It failed in this queue, whatever it says of where it comes from.
            job.origin = self._queue.name
            self._ledger.fail(job, None, str(error), failed_end(self._connection, job))
            return None
        execution = self._ledger.admit(job, self._lease_s)
        # As the job reads now: an edit may have come since it was fetched.
        question = question_of(job)
        timeout_s = float(job.timeout or self._settings.job_timeout_s)
        return Assignment(job, execution, question, timeout_s, taken.number, taken.at_s)

    def _leave_to_newer(self, job_id: str, reason: str) -> bool:
        """Put a question that only a newer worker reads behind the others; False for what nobody has asked."""
        if not self._connection.exists(names.question_key(job_id)):
            return False
        self._ledger.put_behind(job_id)
        now_s = time.monotonic()
        if now_s - self._newer_told_s > NEWER_TOLD_EVERY_S:
            self._newer_told_s = now_s
            log.error("questions wait for a newer worker: start this one anew", question=job_id, reason=reason)
        # The place and not the question is held: where nobody comes for it, the bot may end it.
        self._stop.wait(NEWER_WAITS_S)
        return True


def question_of(job: Job) -> Question:
    """The question in a job; raises WireError for anything else, whatever function it names."""
    try:
        function, arguments, keywords = job.func_name, job.args, job.kwargs
    except Exception as error:
        raise WireError(f"the job cannot be read: {error}") from error
    if function != names.JOB_FUNCTION:
        raise WireError(f"the job names {function!r}; this worker runs {names.JOB_FUNCTION!r} and nothing else")
    # RQ takes whatever stands there for the arguments.
    if not isinstance(arguments, list) or len(arguments) != 1 or not isinstance(arguments[0], str) or keywords:
        raise WireError("the job's arguments are not one question")
    question = Question.from_wire(arguments[0])
    if question.id != job.id:
        raise WireError("the job's id is not its question's")
    return question
