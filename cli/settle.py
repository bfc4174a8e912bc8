"""What becomes of Redis' data when it comes out of a backup: looked whether it loads, and questions settled.

A question that was open when the backup was made may have been answered since, and nobody can tell. So it is closed
without a word, and what was written before the restore is not answered when the platform delivers it again.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from rq.registry import DeferredJobRegistry, ScheduledJobRegistry, StartedJobRegistry

from bot.send_state import SendStage
from cli.archive import ArchiveError
from cli.readiness import REDIS_STEP_S
from config.redis_address import RedisAddress
from config.redis_clients import threads_client
from config.redis_users import USERS_FOLDER, Role, password_file
from contract import names
from contract.answer import Outcome

LOAD_TIMEOUT_S = 600.0
STOP_TIMEOUT_S = 60.0
POLL_S = 0.05
LOG_LINES = 3
PASSING = (
    names.open_key("*"),
    names.answers_stream("*"),
    names.partials_stream("*"),
    names.thread_key("*"),
    names.waiting_key("*"),
    names.threads_key(),
    names.overheard_key("*"),
    names.overheard_due_key("*"),
    names.bot_lock_key("*", "*"),
    names.engine_key("*"),
    names.QUEUE_KEY,
    f"{names.QUEUE_KEY}:intermediate",
    *(
        registry.key_template.format(names.QUEUE)
        for registry in (DeferredJobRegistry, ScheduledJobRegistry, StartedJobRegistry)
    ),
    "rq:execution:*",
    "rq:executions:*",
    "rq:worker:*",
    "rq:workers*",
)
"""What tells of work under way, and of who did it."""


@contextmanager
def loaded(folder: Path, server: str) -> Iterator[redis.Redis]:
    """A client of a server that has loaded the append-only files in `folder`, and writes to them. Raises ArchiveError.

    The server has its socket where nobody looks for one, and ends with this process, however that ends.
    """
    with tempfile.TemporaryDirectory(prefix="fennel-restore-") as apart:
        socket = Path(apart) / "redis.sock"
        options = ("--dir", str(folder), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700")
        more = ("--appendonly", "yes", "--aof-load-truncated", "yes", "--save", "", "--daemonize", "no")
        # The server makes its users when it starts; who they are is read at each connection.
        password = str(password_file(folder / USERS_FOLDER, Role.OPERATOR))
        address = RedisAddress(url=f"unix://{socket}", user=Role.OPERATOR.value, password_file=password)
        command = [sys.executable, "-m", "cli.redis_server", str(folder), server, *options, *more]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                with threads_client(address, REDIS_STEP_S) as client:
                    _wait_until_loaded(client, process)
                    yield client
            finally:
                process.terminate()
                process.communicate(timeout=STOP_TIMEOUT_S)


def _wait_until_loaded(client: redis.Redis, process: subprocess.Popen[str]) -> None:
    end_s = time.monotonic() + LOAD_TIMEOUT_S
    while True:
        try:
            client.ping()
            return
        except redis.RedisError as error:
            if process.poll() is not None:
                said = "; ".join((process.stdout.read() if process.stdout else "").splitlines()[-LOG_LINES:])
                raise ArchiveError(f"Redis cannot load what is in the archive; it says: {said}") from error
            if time.monotonic() > end_s:
                raise ArchiveError(f"Redis has not loaded the archive within {LOAD_TIMEOUT_S:.0f} s") from error
        time.sleep(POLL_S)


def open_questions(client: redis.Redis) -> list[str]:
    """The ids of the questions that nobody had seen the end of."""
    keys = sorted(client.scan_iter(names.open_key("*"), count=1000))
    return [str(question_id) for key in keys for question_id in client.zrange(key, 0, -1)]


def close_open_questions(client: redis.Redis, now_s: float) -> int:
    """End them without a word, forget the work that was under way, and answer nothing that was written before now."""
    ids = open_questions(client)
    expired = Outcome.EXPIRED.value
    ended: dict[Any, Any] = {"outcome": expired, "state": SendStage.DONE.value, "shown": expired}
    with client.pipeline() as step:
        for question_id in ids:
            key = names.delivery_key(question_id)
            step.hset(key, mapping=ended)
            step.expire(key, names.DELIVERY_TTL_S)
            step.delete(names.job_key(question_id))
        step.set(names.RESTORED_KEY, repr(now_s), ex=names.DEDUPE_TTL_S)
        step.execute()
    for pattern in PASSING:
        for key in list(client.scan_iter(pattern, count=1000)):
            client.delete(key)
    return len(ids)
