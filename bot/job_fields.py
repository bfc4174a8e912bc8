"""RQ's job as RQ stores it, without importing RQ: a bot starts in a second and stays small."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from contract import names
from contract.question import Question

_TIMESTAMP = "%Y-%m-%dT%H:%M:%S.%fZ"


def job_data(question: Question) -> str:
    """The call that the job stands for: function, instance, arguments, keywords."""
    return json.dumps([names.JOB_FUNCTION, None, [question.to_wire()], {}])


def job_fields(question: Question, job_timeout_s: float) -> dict[str, str]:
    """The hash that `rq.job.Job.to_dict` would write for the question's job, with RQ's JSON serializer.

    `data` is plain where RQ compresses it. RQ reads both, and so does a person with redis-cli; `contract.scripts`
    carries text alone. The retries are for RQ's own clean-up, which `rq info` runs too: a job that has none left it
    marks failed, when the lease of a dead worker has run out and ours has not yet looked.
    """
    at = datetime.fromtimestamp(question.accepted_at_s, UTC).strftime(_TIMESTAMP)
    return {
        "created_at": at,
        "enqueued_at": at,
        "data": job_data(question),
        "origin": names.QUEUE,
        "description": question.id,
        "timeout": str(max(1, round(job_timeout_s))),
        "result_ttl": str(names.RESULT_TTL_S),
        "failure_ttl": str(names.FAILURE_TTL_S),
        "status": "queued",
        "success_callback_name": "",
        "failure_callback_name": "",
        "stopped_callback_name": "",
        "started_at": "",
        "ended_at": "",
        "last_heartbeat": "",
        "worker_name": "",
        "group_id": "",
        "retries_left": str(names.RETRIES),
    }
