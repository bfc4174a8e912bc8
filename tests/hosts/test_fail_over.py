"""Redis behind sentinels: a server that dies with questions in flight, and what is lost then."""

from __future__ import annotations

import time

import pytest

from config.redis_clients import threads_client
from tests.hosts.servers import Watched
from tests.hosts.stage import Stage
from tests.waiting import until

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(900)]


def test_a_fail_over_under_load(stage: Stage, questions: int) -> None:
    """The server's host dies in the middle: with a replica waited for, every question is answered once."""
    watched = stage.watched()
    watched.start()
    for name in ("worker-c", "worker-d"):
        stage.worker(name, watched.settings, answer_s=0.5)
    stage.bot("bot-a", watched.settings, FENNEL_REDIS__REPLICAS="1")
    stage.ask(questions)
    stage.wait_for_ends(questions // 4)
    watched.servers[0].host.crash()
    crashed_at_s, before = time.monotonic(), stage.ended()
    stage.wait_for_ends(before + 3)
    print(f"from the crash to the next answers: {time.monotonic() - crashed_at_s:.1f} s")
    stage.wait_for_ends(questions)
    assert watched.now() is not watched.servers[0]
    stage.check_once()


@pytest.mark.parametrize(
    ("of_bot", "of_server", "loses"),
    [
        ({}, (), True),
        ({"FENNEL_REDIS__REPLICAS": "1"}, (), False),
        ({}, ("min-replicas-to-write 1", "min-replicas-max-lag 1"), False),
    ],
    ids=["nothing", "replicas", "min-replicas"],
)
def test_what_no_replica_has_is_lost_unless_somebody_waits_for_it(
    stage: Stage, of_bot: dict[str, str], of_server: tuple[str, ...], loses: bool
) -> None:
    """Questions that are taken in while the replicas are cut off are gone with the server, with nothing set against it.

    With redis.replicas they are not acknowledged, and with min-replicas-to-write not taken in: the platform delivers
    them again, and they are answered.
    """
    watched = stage.watched()
    watched.start(*of_server)
    stage.bot("bot-a", watched.settings, **of_bot)
    until(lambda: has_group(watched))
    for server in watched.servers[1:]:
        server.host.cut()
    if of_server:
        until(lambda: knows_no_replica(watched))
    asked = stage.ask(10)
    if loses:
        stage.chat.wait_for(lambda: len(stage.chat.acknowledged) >= len(asked), 120)
    else:
        until(stage.all_come_again)
        assert stage.chat.acknowledged == []
    watched.servers[0].host.crash()
    for server in watched.servers[1:]:
        server.host.mend()
    until(lambda: watched.now() is not watched.servers[0])
    stage.worker("worker-c", watched.settings)
    later = stage.ask(5)
    stage.chat.wait_for(lambda: not stage.unanswered(later), 300)
    if loses:
        assert set(stage.unanswered(stage.asked)) == set(asked)
        print(f"lost: {len(asked)} of {len(asked)} that no replica had")
    else:
        stage.wait_for_ends(len(stage.asked))
        stage.check_once()


def has_group(watched: Watched) -> bool:
    """Whether the bot reads answers."""
    with threads_client(watched.servers[0].address, 5.0) as client:
        return bool(client.exists("fennel:answers:chat"))


def knows_no_replica(watched: Watched) -> bool:
    """Whether the first server has noticed that its replicas are gone."""
    with threads_client(watched.servers[0].address, 5.0) as client:
        return int(client.info("replication")["min_slaves_good_slaves"]) == 0
