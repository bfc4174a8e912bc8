"""Bot, Redis and workers on hosts of their own: each question is answered once, whichever cable is pulled."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE

from config.redis_clients import threads_client
from tests.hosts.certificates import Authority
from tests.hosts.network import Host
from tests.hosts.servers import PASSWORD, RedisHost
from tests.hosts.stage import LEASE_S, Stage
from tests.waiting import until

FEW_AT_ONCE = {"FENNEL_WORKER__MAX_IN_FLIGHT": "2"}
"""So that one worker does not take all questions."""

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(900)]


def test_answers_come_over_four_hosts(stage: Stage, questions: int) -> None:
    """Bot, Redis with TLS and a password, and two workers, each on its own host: both answer; no log has the secret."""
    server = stage.redis("redis-b")
    server.start()
    few = server.settings | FEW_AT_ONCE
    workers = [stage.worker(name, few, answer_s=0.1) for name in ("worker-c", "worker-d")]
    stage.bot("bot-a", server.settings)
    until(lambda: all("the worker takes questions" in stage.log(host).read_text() for host in workers))
    stage.ask(questions)
    stage.wait_for_ends(questions)
    stage.check_once()
    for host in workers:
        assert answers(stage.log(host)) > 0
    assert not [log for log in stage.folder.rglob("*.log") if PASSWORD in log.read_text()]


def test_what_redis_refuses_is_told_in_a_sentence(stage: Stage) -> None:
    """Another authority, a wrong password, no certificate: bot and worker end, and say what to set."""
    server = stage.redis("redis-b")
    server.start()
    host = stage.network.host("bot-a")
    strange = Authority(stage.folder, "strange")
    for changed, says in (
        ({"FENNEL_REDIS__CA_FILE": str(strange.file)}, "shows a certificate that is not trusted"),
        ({"FENNEL_REDIS__PASSWORD": "wrong"}, "refuses the password"),
        ({"FENNEL_REDIS__CERTIFICATE_FILE": ""}, "wants a certificate of ours"),
    ):
        for start in (stage.start_bot, stage.start_worker):
            process = start(host, server.settings | changed)
            assert process.wait(180) == 1
            said = stage.log(host).read_text()
            assert f"Redis at {server.address.url} {says}" in said
            assert PASSWORD not in said
            stage.log(host).unlink()


def test_a_worker_host_is_cut_off_in_the_middle_of_answers_and_comes_back(stage: Stage, questions: int) -> None:
    """What it had in hand is answered by the other one; back again, it answers too; nothing is answered twice."""
    server = stage.redis("redis-b")
    server.start()
    few = server.settings | FEW_AT_ONCE
    lost, other = (stage.worker(name, few, answer_s=1.0) for name in ("worker-c", "worker-d"))
    stage.bot("bot-a", server.settings)
    stage.ask(questions)
    # One of the two has just been begun then, in the place of one that was answered.
    until(lambda: answers(stage.log(lost)) > 0 and in_hand(server, lost) == 2)
    lost.cut()
    time.sleep(3 * float(LEASE_S))
    lost.mend()
    stage.wait_for_ends(questions)
    assert taken_back(server) > 0
    stage.check_once()

    before = answers(stage.log(lost))
    other.crash()
    stage.ask(10)
    stage.wait_for_ends(questions + 10)
    stage.check_once()
    assert answers(stage.log(lost)) > before


def test_a_bot_host_is_replaced(stage: Stage, questions: int) -> None:
    """Another host's bot takes over after the lease; the old one, back again, ends and has changed nothing."""
    server = stage.redis("redis-b")
    server.start()
    stage.worker("worker-c", server.settings, answer_s=0.5)
    old, process = stage.bot("bot-a", server.settings)
    stage.ask(questions)
    stage.wait_for_ends(questions // 4)
    old.cut()
    stage.bot("bot-e", server.settings)
    stage.wait_for_ends(questions)
    old.mend()
    assert process.wait(180) == 1
    assert "another bot has taken this account over" in stage.log(old).read_text()
    stage.ask(10)
    stage.wait_for_ends(questions + 10)
    stage.check_once()


def answers(log: Path) -> int:
    """How many questions a worker has answered."""
    return log.read_text().count("answered")


def in_hand(server: RedisHost, worker: Host) -> int:
    """How many questions the host's worker has in hand."""
    with threads_client(server.address, 5.0) as client:
        keys = client.scan_iter(WORKER_EXECUTIONS_KEY_TEMPLATE.format(f"*{worker.name}*"))
        return sum(int(client.scard(key)) for key in keys)


def taken_back(server: RedisHost) -> int:
    """How many questions were taken back from a worker."""
    with threads_client(server.address, 5.0) as client:
        return len(list(client.scan_iter("fennel:reclaims:*")))
