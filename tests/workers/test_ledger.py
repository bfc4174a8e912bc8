"""How a question ends in Redis, and what of RQ that stands on."""

from __future__ import annotations

import redis
from rq.executions import Execution
from rq.job import Job
from rq.results import Result
from rq.worker import BaseWorker

from config.redis_users import Role
from contract import scripts
from contract.answer import FinalAnswer, Outcome
from tests.valkey import ValkeyServer
from tests.workers.questions import ask, finals, make_question, rq_queue
from tests.workers.scripted_worker import WorkerThread


def test_rq_still_has_what_the_worker_stands_on() -> None:
    """A release of RQ that renames one of these breaks the worker: this test says so first."""
    needed = {
        BaseWorker: ["heartbeat", "serialize", "subscribe", "increment_total_working_time", "register_death"],
        Execution: ["create", "delete", "heartbeat", "from_composite_key"],
        Job: ["finished_job_registry", "_handle_failure", "prepare_for_execution", "retry", "cleanup", "should_retry"],
        Result: ["create", "create_failure"],
        type(rq_queue(redis.Redis())): ["lmove", "_fetch_dequeued_job", "intermediate_queue_key"],
    }
    missing = [
        f"{kind.__name__}.{name}" for kind, all_names in needed.items() for name in all_names if not hasattr(kind, name)
    ]
    assert missing == [], f"RQ no longer has {missing}: workers/worker.py and workers/ledger.py need another way"


def test_the_answer_enters_its_stream_in_the_transaction_that_finishes_the_job(
    valkey: ValkeyServer, connection: redis.Redis
) -> None:
    """Between one MULTI and its EXEC the job is finished and its answer written: never one without the other."""
    with WorkerThread(valkey.url_of(Role.WORKER)), connection.monitor() as monitor:  # type: ignore[no-untyped-call]
        ask(connection, "sleep:0")
        transaction: list[str] = []
        for command in monitor.listen():
            said = command["command"]
            transaction = [] if said.startswith("MULTI") else [*transaction, said]
            if said.startswith("ZADD rq:finished:questions"):
                break
        for command in monitor.listen():
            said = command["command"]
            if said.startswith("EXEC"):
                break
            transaction.append(said)

    assert any(said.startswith("XADD fennel:answers:test") for said in transaction)
    assert any(said.startswith("ZADD rq:finished:questions") for said in transaction)


def test_a_question_has_its_end_once_whoever_writes_it(connection: redis.Redis) -> None:
    """The script that ends a question gives the first end alone, so that two workers cannot answer twice."""
    question = make_question()
    for outcome in (Outcome.ANSWERED, Outcome.ANSWERED, Outcome.FAILED):
        script, key_count, parts = scripts.finish(question, FinalAnswer(question.to_wire(), outcome), None, 60, 8_000)
        connection.eval(script, key_count, *parts)

    assert [final.outcome for final in finals(connection)] == [Outcome.ANSWERED]
