"""What a worker refuses, and what it costs the neighbours: nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from rq.job import JobStatus

from config.environment import CHECKOUT
from config.redis_users import Role
from contract import names
from contract.answer import Outcome
from tests.valkey import ValkeyServer
from tests.workers.jobs import fetch, reason, wait_until
from tests.workers.questions import ask, wait_for_finals
from tests.workers.scripted_worker import RUNS_KEY, WorkerThread


def test_a_question_that_waited_too_long_is_told_so(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """A question older than `answer_ttl_s` gets no late answer but the outcome expired."""
    ask(connection, "sleep:0", accepted_at_s=time.time() - 3600)
    with WorkerThread(valkey.url_of(Role.WORKER)):
        assert [final.outcome for final in wait_for_finals(connection, 1)] == [Outcome.EXPIRED]

    assert connection.llen(RUNS_KEY) == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"func": "os.system"}, "runs 'workers.job.answer' and nothing else", id="another function"),
        pytest.param({"args": []}, "not one question", id="no argument"),
        pytest.param({"args": ["{"]}, "not JSON", id="no JSON"),
        pytest.param({"args": ["[1]"]}, "JSON object", id="no object"),
        pytest.param({"args": ['{"kind":"question","v":0}']}, "wire version 0", id="unknown version"),
        pytest.param({"args": [{"kind": "question"}]}, "not one question", id="an object"),
        pytest.param({"kwargs": {"x": 1}}, "not one question", id="keywords"),
        pytest.param({"args": None}, "not one question", id="null for the arguments"),
        pytest.param({"args": {"0": "{}"}}, "not one question", id="an object for the arguments"),
    ],
)
def test_a_job_that_is_no_question_fails_at_once_and_hurts_no_neighbour(
    valkey: ValkeyServer, connection: redis.Redis, changes: dict[str, Any], words: str
) -> None:
    """It is failed with words, its retries unspent, and the next question is answered; the asker gets an apology."""
    broken = ask(connection, "sleep:0", retries=3, **changes)
    ask(connection, "sleep:0")
    with WorkerThread(valkey.url_of(Role.WORKER)):
        job = wait_until(connection, broken.id, JobStatus.FAILED)
        outcomes = {final.outcome for final in wait_for_finals(connection, 2)}

    assert words in reason(job)
    assert {Outcome.FAILED, Outcome.ANSWERED} == outcomes


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"data": b"\x80\x04rubbish", "status": "queued"}, id="pickle"),
        pytest.param({"data": b"{}", "status": "queued", "timeout": "soon"}, id="timeout"),
        pytest.param({"data": b"{}", "status": "nonsense"}, id="status"),
        pytest.param({"data": b"{}", "status": "queued", "created_at": "never"}, id="date"),
    ],
)
def test_a_job_that_cannot_be_read_fails_at_once_and_hurts_no_neighbour(
    valkey: ValkeyServer, connection: redis.Redis, fields: dict[str, bytes | str]
) -> None:
    """Rubbish in a job's own hash ends in the failed registry, and the next question is answered."""
    connection.hset("rq:job:rubbish", mapping=fields)  # type: ignore[arg-type]  # redis wants its own mapping type
    connection.rpush(names.QUEUE_KEY, "rubbish")
    ask(connection, "sleep:0")
    with WorkerThread(valkey.url_of(Role.WORKER)):
        wait_for_finals(connection, 1)

    assert connection.hget("rq:job:rubbish", "status") == b"failed"
    assert connection.zscore("rq:failed:questions", "rubbish") is not None
    assert connection.llen("rq:queue:questions:intermediate") == 0


def test_callbacks_and_webhooks_that_a_job_names_are_not_called(
    valkey: ValkeyServer, connection: redis.Redis, tmp_path: Path
) -> None:
    """The worker calls one function and no other, whatever the job says."""
    question = ask(connection, "sleep:0")
    touched = tmp_path / "touched"
    connection.hset(f"rq:job:{question.id}", "success_callback_name", "tests.workers.touch.touch")
    connection.hset(f"rq:job:{question.id}", "webhooks", json.dumps([{"url": f"file://{touched}"}]))
    with WorkerThread(valkey.url_of(Role.WORKER)):
        wait_until(connection, question.id, JobStatus.FINISHED)

    assert not touched.exists()
    assert "tests.workers.touch" not in sys.modules


@pytest.mark.parametrize("kind", [["worker"], ["worker-pool", "-n", "1"]], ids=["worker", "pool"])
def test_an_rq_worker_of_another_kind_fails_with_the_cure(
    valkey: ValkeyServer, connection: redis.Redis, kind: list[str]
) -> None:
    """RQ's own forking workers cannot answer a question, and the failure names the worker that can."""
    question = ask(connection, "sleep:0")
    program = Path(sys.executable).with_name("rq")
    subprocess.run(
        [program, *kind, "--burst", "-u", valkey.url, "-S", "json", "questions"],
        check=True,
        capture_output=True,
        cwd=CHECKOUT,
    )

    assert "start `python -m workers`" in reason(fetch(connection, question.id))
