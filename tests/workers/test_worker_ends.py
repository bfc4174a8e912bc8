"""Workers that stop, and workers that die: no question is lost with them."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

import pytest
import redis
from rq.job import JobStatus
from rq.worker import Worker

from config.redis_users import Role
from contract import names
from contract.answer import Outcome
from tests.valkey import ValkeyServer
from tests.workers.jobs import fetch, reason, rq_info, wait_for_worker, wait_until
from tests.workers.questions import ask, finals, rq_queue, wait_for_finals
from tests.workers.scripted_worker import RUNS_KEY, WorkerProcess, WorkerThread
from workers.registration import WorkerRunningError

# --- stopping


def test_on_sigterm_it_finishes_what_it_has_and_takes_no_more(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """Two in hand are answered, the third stays queued, the worker is gone from RQ's list, and the code is 0."""
    with WorkerProcess(valkey.url_of(Role.WORKER), max_in_flight=2) as running:
        questions = [ask(connection, "sleep:1") for _ in range(3)]
        for question in questions[:2]:
            wait_until(connection, question.id, JobStatus.STARTED)
        running.send(signal.SIGTERM)
        assert running.wait() == 0

    assert len(finals(connection)) == 2
    assert [questions[2].id] == rq_queue(connection).job_ids
    assert Worker.count(connection=connection) == 0


@pytest.mark.parametrize(
    "signals", [[signal.SIGTERM], [signal.SIGINT, signal.SIGINT]], ids=["drain over", "SIGINT twice"]
)
def test_what_is_not_finished_in_time_goes_back_to_the_front_in_order(
    valkey: ValkeyServer, connection: redis.Redis, signals: list[signal.Signals]
) -> None:
    """What the drain does not finish is queued again, oldest first, without spending a retry, and the code is 0."""
    drain_s = 0.2 if len(signals) == 1 else 60
    with WorkerProcess(valkey.url_of(Role.WORKER), max_in_flight=2, drain_s=drain_s) as running:
        questions = [ask(connection, "endless", retries=2) for _ in range(3)]
        for question in questions[:2]:
            wait_until(connection, question.id, JobStatus.STARTED)
        started_s = time.monotonic()
        for number in signals:
            running.send(number)
            time.sleep(0.3)  # two signals at once would be one
        assert running.wait() == 0
        assert time.monotonic() - started_s < 10

    assert [question.id for question in questions] == rq_queue(connection).job_ids
    assert [fetch(connection, question.id).retries_left for question in questions] == [2, 2, 2]
    assert rq_queue(connection).started_job_registry.get_job_count(cleanup=False) == 0


def test_a_sigterm_at_any_instant_strands_no_job(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """Stopped within a few milliseconds of an enqueue, a worker leaves the job queued or finished, never in between."""
    chance = random.Random(7)
    for _ in range(8):
        with WorkerProcess(valkey.url_of(Role.WORKER)) as running:
            wait_for_worker(connection)
            question = ask(connection, "sleep:0")
            time.sleep(chance.uniform(0, 0.004))
            running.send(signal.SIGTERM)
            assert running.wait() == 0

        assert connection.llen("rq:queue:questions:intermediate") == 0
        assert fetch(connection, question.id).get_status() in (JobStatus.QUEUED, JobStatus.FINISHED)
        connection.flushall()


# --- dying


def test_a_worker_started_again_under_its_name_takes_its_questions_back(
    valkey: ValkeyServer, connection: redis.Redis
) -> None:
    """After `kill -9` the next process of that name answers what the dead one held, before any lease has run out."""
    with WorkerProcess(valkey.url_of(Role.WORKER), lease_s=60) as first:
        questions = [ask(connection, "sleep:2") for _ in range(3)]
        for question in questions:
            wait_until(connection, question.id, JobStatus.STARTED)
        first.send(signal.SIGKILL)
        first.wait()
    with WorkerProcess(valkey.url_of(Role.WORKER), lease_s=60):
        answered = {final.question for final in wait_for_finals(connection, 3)}

    assert {question.to_wire() for question in questions} == answered


def test_another_worker_takes_the_questions_of_a_dead_one(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """When the lease has run out the dead worker's question is answered by another one, once."""
    with WorkerProcess(valkey.url_of(Role.WORKER), "worker_0", lease_s=2) as first:
        question = ask(connection, "sleep:1")
        wait_until(connection, question.id, JobStatus.STARTED)
        first.send(signal.SIGKILL)
        first.wait()
    with WorkerThread(valkey.url_of(Role.WORKER), "worker_1", lease_s=2):
        assert [question.to_wire()] == [final.question for final in wait_for_finals(connection, 1, timeout_s=30)]


def test_a_question_that_kills_its_workers_is_given_up_with_words(
    valkey: ValkeyServer, connection: redis.Redis
) -> None:
    """Taken back more often than `max_reclaims`, it fails with a reason, and the asker is told."""
    question = ask(connection, "endless")
    for time_number in (1, 2):
        with WorkerProcess(valkey.url_of(Role.WORKER), max_reclaims=1) as running:
            end_s = time.monotonic() + 20
            while connection.llen(RUNS_KEY) < time_number:
                assert time.monotonic() < end_s
                time.sleep(0.02)
            running.send(signal.SIGKILL)
            running.wait()
    with WorkerThread(valkey.url_of(Role.WORKER), max_reclaims=1):
        assert [final.outcome for final in wait_for_finals(connection, 1)] == [Outcome.FAILED]

    job = wait_until(connection, question.id, JobStatus.FAILED)
    assert "2 workers in a row died" in reason(job)


def test_a_job_left_in_the_intermediate_list_comes_back(
    valkey: ValkeyServer, connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that died between taking and admitting a job strands it for seconds only."""
    monkeypatch.setattr("workers.reaper.INTERMEDIATE_S", 0.1)
    monkeypatch.setattr("workers.heart.REAP_EVERY_S", 0.2)
    ask(connection, "sleep:0")
    connection.lmove(names.QUEUE_KEY, "rq:queue:questions:intermediate")
    with WorkerThread(valkey.url_of(Role.WORKER)):
        assert [final.outcome for final in wait_for_finals(connection, 1)] == [Outcome.ANSWERED]


def test_rq_info_does_not_fail_a_question_whose_lease_ran_out(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """An operator's look after a crash requeues the job by its retries; it is answered, not silently failed."""
    question = ask(connection, "sleep:1", retries=3)
    with WorkerProcess(valkey.url_of(Role.WORKER), lease_s=2) as first:
        wait_until(connection, question.id, JobStatus.STARTED)
        first.send(signal.SIGKILL)
        first.wait()
    end_s = time.monotonic() + 20
    while fetch(connection, question.id).get_status() != JobStatus.QUEUED:
        assert time.monotonic() < end_s
        rq_info(valkey)
        time.sleep(0.2)
    with WorkerThread(valkey.url_of(Role.WORKER)):
        assert [final.outcome for final in wait_for_finals(connection, 1)] == [Outcome.ANSWERED]


def test_a_second_worker_of_the_same_name_refuses_to_start(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """Two living workers of one name would take each other's questions back."""
    with WorkerProcess(valkey.url_of(Role.WORKER)):
        wait_for_worker(connection)
        with WorkerProcess(valkey.url_of(Role.WORKER)) as second:
            assert second.wait() != 0
            assert WorkerRunningError.__name__ in second.output()


def test_a_lost_engine_gives_the_question_back_and_at_last_up(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """A question whose engine dies each time is tried `max_reclaims` times more and then fails with words."""
    question = ask(connection, "engine-dies", retries=5)
    with WorkerThread(valkey.url_of(Role.WORKER), max_reclaims=2):
        job = wait_until(connection, question.id, JobStatus.FAILED)
        assert [final.outcome for final in wait_for_finals(connection, 1)] == [Outcome.FAILED]

    assert connection.llen(RUNS_KEY) == 3
    assert "the engine died with it 3 times" in reason(job)


def test_a_redis_that_was_killed_and_came_back_costs_no_answer(make_valkey: Callable[[], ValkeyServer]) -> None:
    """Answers that were ready while Redis was away are written when it is back; the worker lives on."""
    server = make_valkey()
    with (
        redis.Redis.from_url(server.url) as connection,
        WorkerThread(server.url_of(Role.WORKER), max_in_flight=4) as running,
    ):
        questions = [ask(connection, "sleep:1") for _ in range(8)]
        for question in questions[:4]:
            wait_until(connection, question.id, JobStatus.STARTED)
        server.kill()
        time.sleep(3)  # the outage itself: longer than the answers take
        server.start()
        answered = [final.question for final in wait_for_finals(connection, 8, timeout_s=40)]
        assert running.worker.exit_code == 0

    assert sorted(question.to_wire() for question in questions) == sorted(answered)
