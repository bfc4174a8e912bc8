"""Names in Redis: the queue, the streams, the keys. Everything of ours begins with ``fennel:``, RQ's with ``rq:``."""

from __future__ import annotations

QUEUE = "questions"
JOB_FUNCTION = "workers.job.answer"
"""The one function that a job may name. RQ's own workers cannot run it; ours runs nothing else."""

SECONDS_A_DAY = 86_400
DEDUPE_TTL_S = SECONDS_A_DAY
"""How long the same event is recognised. Lark delivers again for up to 7.1 h, Slack for 6 min."""
RESULT_TTL_S = 3_600
FAILURE_TTL_S = 7 * SECONDS_A_DAY
DELIVERY_TTL_S = 7 * SECONDS_A_DAY
RETRIES = 3
"""How often a question that failed by an exception is tried again."""
FEEDBACK_KEPT = 100_000
MAX_TURNS_KEPT = 50
PARTIALS_KEPT = 10_000
DELIVERY_GROUP = "delivery"


def question_key(question_id: str) -> str:
    """The question's wire form; while it is there, a second delivery of its event is recognised."""
    return f"fennel:question:{question_id}"


def open_key(platform: str) -> str:
    """Sorted set: the platform's questions that nobody has seen the end of yet, by the time they were accepted."""
    return f"fennel:open:{platform}"


def thread_key(conversation: str) -> str:
    """The id of the thread's question that is queued or executing now."""
    return f"fennel:thread:{conversation}"


def waiting_key(conversation: str) -> str:
    """Sorted set: the thread's later questions, by the time they were asked."""
    return f"fennel:waiting:{conversation}"


def threads_key() -> str:
    """Set: the conversations that have questions waiting behind one another."""
    return "fennel:threads"


def turns_key(conversation: str) -> str:
    """List: the thread's turns, oldest first."""
    return f"fennel:turns:{conversation}"


def answers_stream(platform: str) -> str:
    """Stream of final answers, read by a consumer group; an entry goes when it has been shown."""
    return f"fennel:answers:{platform}"


def partials_stream(platform: str) -> str:
    """Capped stream of partial answers; anything in it may be lost."""
    return f"fennel:partials:{platform}"


def delivery_key(question_id: str) -> str:
    """Hash: how the question ended (`outcome`), and how far the delivery of its answer is (the bot's fields)."""
    return f"fennel:delivery:{question_id}"


def feedback_stream() -> str:
    """Capped stream of what people think of answers."""
    return "fennel:feedback"


def bot_lock_key(platform: str, account: str) -> str:
    """Held by the one process that serves this account of the platform."""
    return f"fennel:bot:{platform}:{account}"


def engine_key(worker: str) -> str:
    """Hash: what the worker's engine says of itself; lives as long as its heartbeat."""
    return f"fennel:engine:{worker}"


def reclaims_key(question_id: str) -> str:
    """Counts how often the question was taken back from a worker that died with it."""
    return f"fennel:reclaims:{question_id}"


def job_key(question_id: str) -> str:
    """RQ's hash of the job; a question's job has the question's id."""
    return f"rq:job:{question_id}"


QUEUE_KEY = f"rq:queue:{QUEUE}"
QUEUES_KEY = "rq:queues"
DEFERRED_KEY = f"rq:deferred:{QUEUE}"
CANCELED_KEY = f"rq:canceled:{QUEUE}"
