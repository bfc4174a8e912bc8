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


def forgotten_key(conversation: str) -> str:
    """When somebody last wanted the thread forgotten, since the epoch: what was asked before leaves no turn."""
    return f"fennel:forgotten:{conversation}"


def answers_stream(platform: str) -> str:
    """Stream of final answers, read by a consumer group; an entry goes when it has been shown."""
    return f"fennel:answers:{platform}"


def partials_stream(platform: str) -> str:
    """Capped stream of partial answers; anything in it may be lost."""
    return f"fennel:partials:{platform}"


def delivery_key(question_id: str) -> str:
    """Hash: how the question ended (`outcome`), and how far the delivery of its answer is (the bot's fields)."""
    return f"fennel:delivery:{question_id}"


def why_key(question_id: str) -> str:
    """What the gate saw and decided, as a Why; lives as long as `gate.why_ttl_s`."""
    return f"fennel:why:{question_id}"


def shown_key(question_id: str) -> str:
    """The end that the chat has seen, as a final answer: for those who judge it, or ask for its sources."""
    return f"fennel:shown:{question_id}"


HISTORY_KEY = "fennel:history"
"""Sorted set: the ids of the questions whose ends were shown, by when that was."""


def last_shown_key(conversation: str) -> str:
    """The id of the question whose answer was shown last in the thread."""
    return f"fennel:last:{conversation}"


def last_shown_to_key(place: str, asker: str) -> str:
    """The id of the question of this person whose answer was shown last in the channel."""
    return f"fennel:last-to:{place}:{asker}"


def feedback_key(question_id: str, by: str) -> str:
    """What one person thinks of one answer, with the question and the answer."""
    return f"fennel:feedback:{question_id}:{by}"


FEEDBACK_KEY = "fennel:feedback"
"""Sorted set: the keys of all feedback, by when it was given."""


def displeased_key(conversation: str) -> str:
    """Set: who found which answer of the thread bad, until a human is called."""
    return f"fennel:displeased:{conversation}"


def called_key(conversation: str) -> str:
    """The id of the event that called the channel's maintainers to the thread; they are called once."""
    return f"fennel:called:{conversation}"


def bindings_key() -> str:
    """Hash: the knowledge bases that a channel may see, in JSON, by channel; the others see the default one."""
    return "fennel:bindings"


def bindings_changes_key() -> str:
    """Counts the changes of the bindings: a Redis that counts less than it did has lost its data."""
    return "fennel:bindings-changes"


def channel_key(place: str) -> str:
    """Hash: what admins have set in a channel: whether it is paused, limits of its own."""
    return f"fennel:channel:{place}"


def bucket_key(level: str, whose: str = "") -> str:
    """Hash: a token bucket; `level` is ``person``, ``group`` or ``overall``."""
    return f"fennel:bucket:{level}:{whose}" if whose else f"fennel:bucket:{level}"


def admitted_key(question_id: str) -> str:
    """There for a while after a message was let in: the same event again is charged nothing more."""
    return f"fennel:admitted:{question_id}"


def notice_key(place: str, asker: str) -> str:
    """The id of the question in answer to which the person was told of a limit; they are told once a window."""
    return f"fennel:noticed:{place}:{asker}"


def bot_turns_key(place: str, bot: str) -> str:
    """Sorted set: the turns of another bot in the channel, by when they were."""
    return f"fennel:bot-turns:{place}:{bot}"


def overheard_key(place: str) -> str:
    """Hash: what was said in a channel where we read along and was not looked at yet, by the message's id."""
    return f"fennel:overheard:{place}"


def overheard_due_key(platform: str) -> str:
    """Sorted set: whose words are looked at when (seconds since the epoch), unless they go on."""
    return f"fennel:overheard-due:{platform}"


def bot_lock_key(platform: str, account: str) -> str:
    """Held by the one process that serves this account of the platform."""
    return f"fennel:bot:{platform}:{account}"


def served_key(platform: str) -> str:
    """Hash: the account whose bot serves the platform, and the token of the process that took it last."""
    return f"fennel:served:{platform}"


BARRIER_KEY = "fennel:barrier"
"""Written where somebody waits until replicas have what was written before it."""


def wecom_answer_key(question_id: str) -> str:
    """What WeCom's long connection has been shown of an answer (JSON)."""
    return f"fennel:wecom:answer:{question_id}"


def wecom_polled_key(question_id: str) -> str:
    """Hash: what WeCom sees when it polls for a stream in callback mode."""
    return f"fennel:wecom:polled:{question_id}"


def wecom_link_key(bot_id: str) -> str:
    """Hash: when the bot's link was last known to be up, and how long there was none altogether."""
    return f"fennel:wecom:link:{bot_id}"


def weixin_cursor_key(bot_id: str) -> str:
    """How far the direct messages to this WeChat account are in Redis."""
    return f"fennel:weixin:cursor:{bot_id}"


def weixin_answer_key(question_id: str) -> str:
    """What WeChat has been shown of an answer (JSON)."""
    return f"fennel:weixin:answer:{question_id}"


def weixin_unanswered_key(bot_id: str, person: str) -> str:
    """How many messages the person got since they last wrote."""
    return f"fennel:weixin:unanswered:{bot_id}:{person}"


def web_posts_key(room: str) -> str:
    """Hash: what was said in a room of the web page, by the post's id (JSON)."""
    return f"fennel:web:posts:{room}"


def web_order_key(room: str) -> str:
    """Sorted set: the ids of the room's posts, by when they were written."""
    return f"fennel:web:order:{room}"


def web_session_key(digest: str) -> str:
    """Who has come in with the cookie of this digest (JSON)."""
    return f"fennel:web:session:{digest}"


def web_wrong_key(address: str) -> str:
    """Counts the wrong passwords from an address, or from all, for a while."""
    return f"fennel:web:wrong:{address}"


WEB_UNTAKEN_KEY = "fennel:web:untaken"
"""Set: posts that are written down and may not have been taken in yet, as ``ROOM ID``."""
WEB_NAMES_KEY = "fennel:web:names"
"""Hash: what the people of the web page call themselves, by id."""


def engine_key(worker: str) -> str:
    """Hash: what the worker's engine says of itself; lives as long as its heartbeat."""
    return f"fennel:engine:{worker}"


def reclaims_key(question_id: str) -> str:
    """Counts how often the question was taken back from a worker that died with it."""
    return f"fennel:reclaims:{question_id}"


def job_key(question_id: str) -> str:
    """RQ's hash of the job; a question's job has the question's id."""
    return f"rq:job:{question_id}"


RESTORED_KEY = "fennel:restored"
"""When Redis' data came out of a backup, since the epoch; what was written before may have been answered already."""

QUEUE_KEY = f"rq:queue:{QUEUE}"
QUEUES_KEY = "rq:queues"
WORKERS_KEY = "rq:workers"
"""Set: the keys of the workers that RQ knows, ``rq:worker:NAME``; an engine has its worker's name."""
DEFERRED_KEY = f"rq:deferred:{QUEUE}"
CANCELED_KEY = f"rq:canceled:{QUEUE}"
