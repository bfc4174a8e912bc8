"""Questions of one thread are answered in order; other threads do not wait."""

from __future__ import annotations

import redis

from config.redis_users import Role
from contract.answer import Outcome
from tests.valkey import ValkeyServer
from tests.workers.questions import ask, rq_queue, wait_for_finals
from tests.workers.scripted_worker import WorkerThread


def test_emptying_the_queue_holds_up_no_thread(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """After `rq empty` the deferred question of the same thread is answered."""
    ask(connection, "sleep:0", thread="one")
    ask(connection, "sleep:0", thread="one")
    rq_queue(connection).empty()
    with WorkerThread(valkey.url_of(Role.WORKER)):
        assert [final.outcome for final in wait_for_finals(connection, 1)] == [Outcome.ANSWERED]


def test_questions_of_one_thread_are_answered_in_order_and_see_the_earlier_answers(
    valkey: ValkeyServer, connection: redis.Redis
) -> None:
    """Five questions of one thread give five answers in their order, and the last one knows the four before."""
    asked = [ask(connection, f"sleep:0.0{5 - number}", thread="one") for number in range(4)]
    last = ask(connection, "turns", thread="one")
    with WorkerThread(valkey.url_of(Role.WORKER)):
        answers = wait_for_finals(connection, 5)

    assert [question.to_wire() for question in [*asked, last]] == [final.question for final in answers]
    assert " | ".join(f"{one.text} -> {one.text} done" for one in asked) == answers[-1].text


def test_other_threads_are_not_held_up(valkey: ValkeyServer, connection: redis.Redis) -> None:
    """While one thread's question takes for ever, another thread's is answered."""
    ask(connection, "endless", thread="slow")
    ask(connection, "sleep:0", thread="slow")
    quick = ask(connection, "sleep:0", thread="quick")
    with WorkerThread(valkey.url_of(Role.WORKER), drain_s=0):
        assert [quick.to_wire()] == [final.question for final in wait_for_finals(connection, 1)]
