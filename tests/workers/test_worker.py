"""The worker keeps RQ's meaning with many questions in hand."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
import redis
from rq.command import send_stop_job_command
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.suspension import resume, suspend

from bot.job_fields import job_data
from config.redis_users import Role
from contract import names, scripts
from contract.answer import Outcome
from contract.question import Question
from tests.valkey import ValkeyServer
from tests.workers.jobs import fetch, reason, rq_info, wait_until
from tests.workers.questions import ask, finals, job_for, rq_queue, wait_for_finals
from tests.workers.scripted_worker import RUNS_KEY, WorkerThread
from workers.ledger import Ledger


def test_an_edit_while_the_job_is_being_taken_is_answered(
    valkey: ValkeyServer, connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between being fetched and being admitted a question still counts as waiting: it is answered as it then reads."""
    question = ask(connection, "sleep:0")
    edited = replace(question, text="sleep:0.1")
    admit = Ledger.admit

    def edit_and_admit(ledger: Ledger, job: Job, lease_s: int) -> Execution:
        script, keys, arguments = scripts.amend(edited, job_data(edited))
        assert connection.eval(script, keys, *arguments) == b"amended"
        return admit(ledger, job, lease_s)

    monkeypatch.setattr(Ledger, "admit", edit_and_admit)
    with WorkerThread(valkey.url_of(Role.WORKER)):
        (final,) = wait_for_finals(connection, 1)
    assert final.text.startswith("sleep:0.1 ")


def test_answers_as_many_at_a_time_as_it_has_places_and_no_more(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """With four places, twelve questions are answered four at a time."""
    for _ in range(12):
        ask(connection, "sleep:0.2")
    with WorkerThread(valkey.url_of(Role.WORKER), max_in_flight=4) as running:
        wait_for_finals(connection, 12)

    assert running.pipeline.peak == 4


def test_rq_info_shows_what_is_so(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """`rq info` tells queued, executing, finished and failed jobs, and the worker as busy."""
    failing = ask(connection, "fail")
    finishing = ask(connection, "sleep:0")
    with WorkerThread(valkey.url_of(Role.WORKER), max_in_flight=2):
        wait_until(connection, failing.id, JobStatus.FAILED)
        wait_until(connection, finishing.id, JobStatus.FINISHED)
        executing = [ask(connection, "endless") for _ in range(2)]
        ask(connection, "sleep:0")
        for question in executing:
            wait_until(connection, question.id, JobStatus.STARTED)

        queue = rq_queue(connection)
        assert (
            queue.count,
            queue.started_job_registry.get_job_count(cleanup=False),
            queue.finished_job_registry.count,
            queue.failed_job_registry.count,
        ) == (1, 2, 1, 1)
        said = rq_info(valkey)
        assert "worker worker_0" in said
        assert "busy" in said
        for question in executing:
            send_stop_job_command(connection, question.id, serializer=JSONSerializer)


def test_a_job_is_json_and_tells_no_chat_text_in_its_description(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """What stands in Redis is JSON, never pickle, and the result names the outcome alone."""
    question = ask(connection, "sleep:0")
    with WorkerThread(valkey.url_of(Role.WORKER)):
        wait_for_finals(connection, 1)
    job = fetch(connection, question.id)

    assert [names.JOB_FUNCTION, None, [question.to_wire()], {}] == json.loads(job.data)
    assert question.id == job.description
    assert {"outcome": "answered", "total_ms": job.return_value()["total_ms"]} == job.return_value()


def test_a_job_over_its_time_limit_is_cancelled_and_its_place_freed(
    valkey: ValkeyServer, connection: redis.Redis
) -> None:
    """After its timeout the generation is cancelled, the asker told, and the only place is free for the next."""
    slow = ask(connection, "endless", timeout=1)
    with WorkerThread(valkey.url_of(Role.WORKER), max_in_flight=1):
        wait_until(connection, slow.id, JobStatus.FAILED)
        ask(connection, "sleep:0")
        outcomes = [final.outcome for final in wait_for_finals(connection, 2)]

    assert outcomes == [Outcome.FAILED, Outcome.ANSWERED]
    assert "time limit of 1 s" in reason(fetch(connection, slow.id))


def test_a_question_that_cannot_be_stopped_still_gives_its_place_back(
    valkey: ValkeyServer, connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that hangs outside the engine holds up nobody for longer than the grace."""
    monkeypatch.setattr("workers.heart.STOP_GRACE_S", 0.2)
    ask(connection, "stuck:6", timeout=1)
    with WorkerThread(valkey.url_of(Role.WORKER), max_in_flight=1):
        ask(connection, "sleep:0")
        started_s = time.monotonic()
        outcomes = [final.outcome for final in wait_for_finals(connection, 2)]
        took_s = time.monotonic() - started_s

    assert outcomes == [Outcome.FAILED, Outcome.ANSWERED]
    assert took_s < 6


def test_the_stop_command_stops_that_job_and_no_other(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """Of three endless jobs, only the one named by RQ's stop command ends, as stopped."""
    questions = [ask(connection, "endless") for _ in range(3)]
    with WorkerThread(valkey.url_of(Role.WORKER), drain_s=0):
        for question in questions:
            wait_until(connection, question.id, JobStatus.STARTED)
        send_stop_job_command(connection, questions[1].id, serializer=JSONSerializer)
        wait_until(connection, questions[1].id, JobStatus.STOPPED)

        assert [final.outcome for final in finals(connection)] == [Outcome.STOPPED]
        assert fetch(connection, questions[0].id).get_status() == JobStatus.STARTED
        assert fetch(connection, questions[2].id).get_status() == JobStatus.STARTED


def test_rubbish_on_the_command_channel_is_ignored(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """A command that is no command does not end the worker."""
    question = ask(connection, "endless")
    with WorkerThread(valkey.url_of(Role.WORKER), drain_s=0):
        wait_until(connection, question.id, JobStatus.STARTED)
        for rubbish in (b"\xff\x00", b"[]", b"{}", b'{"command": "stop-job"}', b'{"command": 7}', b"null"):
            connection.publish("rq:pubsub:worker_0", rubbish)
        ask(connection, "sleep:0")

        assert [final.outcome for final in wait_for_finals(connection, 1)] == [Outcome.ANSWERED]


def test_retry_is_honoured_and_then_the_failure_says_why(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """A job with two retries runs three times, and then is failed with its reason and told to the asker once."""
    question = ask(connection, "fail", retries=2)
    with WorkerThread(valkey.url_of(Role.WORKER)):
        job = wait_until(connection, question.id, JobStatus.FAILED)
        assert [final.outcome for final in wait_for_finals(connection, 1)] == [Outcome.FAILED]

    assert connection.llen(RUNS_KEY) == 3
    assert "scripted to fail" in reason(job)
    assert job.retries_left == 0


def test_requeued_after_a_failure_a_question_is_answered_after_all(
    valkey: ValkeyServer, connection: redis.Redis
) -> None:
    """`rq requeue` gives a failed question another chance, and its answer follows the apology."""
    question = ask(connection, "fail")
    with WorkerThread(valkey.url_of(Role.WORKER)):
        job = wait_until(connection, question.id, JobStatus.FAILED)
        job.data = job_for(question_with(question.to_wire(), "sleep:0"), connection).data
        job.save()
        rq_queue(connection).failed_job_registry.requeue(question.id)
        outcomes = [final.outcome for final in wait_for_finals(connection, 2)]

    assert outcomes == [Outcome.FAILED, Outcome.ANSWERED]


def question_with(wire: str, text: str) -> Question:
    body = json.loads(wire)
    body["text"] = text
    return Question.from_wire(json.dumps(body))


def test_a_suspended_worker_takes_nothing_until_it_is_resumed(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """`rq suspend` and `rq resume` are obeyed."""
    suspend(connection)
    question = ask(connection, "sleep:0")
    with WorkerThread(valkey.url_of(Role.WORKER)) as running:
        while running.worker._suspension.asked_at_s < 0:
            time.sleep(0.01)
        assert fetch(connection, question.id).get_status() == JobStatus.QUEUED
        resume(connection)
        wait_for_finals(connection, 1)


def as_newer(connection: redis.Redis, question: Question, version: int) -> None:
    """Have the question's job hold it in this version of the wire."""
    data = json.loads(job_data(question))
    data[2][0] = data[2][0].replace('{"v":1', f'{{"v":{version}', 1)
    connection.hset(names.job_key(question.id), "data", json.dumps(data))


def test_a_question_of_a_newer_version_waits_for_a_newer_worker(
    valkey: ValkeyServer, connection: redis.Redis, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker of the release before leaves it in the queue, answers the others, and says what it waits for."""
    monkeypatch.setattr("workers.admission.NEWER_TOLD_EVERY_S", 0.0)
    monkeypatch.setattr("workers.admission.NEWER_WAITS_S", 0.1)
    newer = [ask(connection) for _ in range(2)]
    for question in newer:
        as_newer(connection, question, 2)
    asked = ask(connection)
    with WorkerThread(valkey.url_of(Role.WORKER), max_in_flight=1):
        first = wait_for_finals(connection, 1)
        # It comes round again and again, and is in the queue once and in no list of failures.
        says = "questions wait for a newer worker"
        told = ""
        while told.count(says) < 4:
            told += capsys.readouterr().out
            time.sleep(0.05)

    queued = set(rq_queue(connection).get_job_ids())
    assert [final.question for final in first] == [asked.to_wire()]
    assert (queued, connection.llen(names.QUEUE_KEY)) == ({one.id for one in newer}, 2)
    assert {fetch(connection, one.id).get_status() for one in newer} == {JobStatus.QUEUED}

    for question in newer:
        as_newer(connection, question, 1)
    with WorkerThread(valkey.url_of(Role.WORKER)):
        assert len(wait_for_finals(connection, 3)) == 3
