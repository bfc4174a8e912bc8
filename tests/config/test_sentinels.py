"""Redis behind sentinels: found by them, followed to its successor, and their troubles told."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff, NoBackoff
from rq import Queue
from rq.serializers import JSONSerializer

from config.redis_address import RedisAddress
from config.redis_clients import KEEPALIVE, asyncio_client, threads_client
from config.redis_trouble import trouble
from tests.config.sentinel import PASSWORD, Watched
from tests.waiting import until

ONCE = Retry(NoBackoff(), 0)
FOREVER = Retry(ConstantBackoff(0.05), -1)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    found = Watched(tmp_path)
    try:
        found.start()
        yield found
    finally:
        found.stop()


async def test_sentinels_lead_to_the_server_and_to_its_successor(watched: Watched) -> None:
    """Both kinds find the server though the first sentinel is dead, and its successor after a fail-over."""
    with threads_client(watched.address, 5.0) as client:
        async with asyncio_client(watched.address, FOREVER) as other:
            client.set("key", "before")
            assert await other.get("key") == "before"
            watched.fail_over()

            await other.set("key", "after")
            until(lambda: written(client, "key") == "after")

            assert watched.named() == watched.ports[1]
            assert await other.info("replication")


async def test_a_client_that_waits_goes_to_the_successor_of_a_dead_server(watched: Watched) -> None:
    """A connection that breaks in the middle of its work asks the sentinels anew, and not the dead server again."""
    async with asyncio_client(watched.address, FOREVER) as client:
        await client.set("key", "before")
        watched.kill_first()
        async with asyncio.timeout(20):
            await client.set("key", "after")
    assert watched.named() == watched.ports[1]


def written(client: redis.Redis, key: str) -> object:
    """What is there; None while the server cannot be asked."""
    try:
        return client.get(key)
    except redis.RedisError:
        return None


async def test_rq_works_behind_sentinels(watched: Watched) -> None:
    """RQ takes our client: what is put into its queue is found after a fail-over."""
    with threads_client(watched.address, 5.0, decode=False) as client:
        queue = Queue("questions", connection=client, serializer=JSONSerializer)
        queue.enqueue("builtins.len", "abc", job_id="q-1")
        client.wait(1, 5000)
        watched.fail_over()

        until(lambda: takes_writes(client))

        assert queue.job_ids == ["q-1"]


def takes_writes(client: redis.Redis) -> bool:
    with contextlib.suppress(redis.RedisError):
        return bool(client.set("probe", 1))
    return False


async def test_a_wrong_password_for_the_sentinels_is_told_in_a_sentence(watched: Watched) -> None:
    """The sentence names the sentinels' own password, not the server's."""
    address = dataclasses.replace(watched.address, sentinel_password="wrong")
    with threads_client(address, 5.0) as client, pytest.raises(redis.RedisError) as caught:
        client.ping()
    assert "FENNEL_REDIS__SENTINEL_PASSWORD" in trouble(caught.value, address).cure


async def test_a_service_that_no_sentinel_knows_is_told_in_a_sentence(watched: Watched) -> None:
    """A mistyped name is told as such."""
    address = dataclasses.replace(watched.address, service="qeue", sentinels=(("127.0.0.1", watched.sentinel_port),))
    async with asyncio_client(address, ONCE) as client:
        with pytest.raises(redis.RedisError) as caught:
            await client.ping()
    assert "FENNEL_REDIS__SENTINEL_SERVICE" in trouble(caught.value, address).cure


async def test_a_sentinel_that_hangs_does_not_hold_up_the_others(watched: Watched) -> None:
    """A sentinel that takes connections and never answers costs seconds, once."""
    with socket.create_server(("127.0.0.1", 0)) as hung:
        sentinels = (("127.0.0.1", int(hung.getsockname()[1])), ("127.0.0.1", watched.sentinel_port))
        address = dataclasses.replace(watched.address, sentinels=sentinels)
        with threads_client(address, 5.0) as client:
            assert client.ping()
        async with asyncio.timeout(20), asyncio_client(address, FOREVER) as other:
            assert await other.ping()


async def test_a_dead_host_is_noticed(watched: Watched) -> None:
    """Connections over a network have TCP watch for the other host, within half a minute."""
    address = RedisAddress.of_url(f"redis://127.0.0.1:{watched.ports[0]}", password=PASSWORD)
    for one in (address, watched.address):
        with threads_client(one, 5.0) as client:
            connection = client.connection_pool.get_connection()
            for option, value in KEEPALIVE.items():
                assert connection._sock.getsockopt(socket.IPPROTO_TCP, option) == value
            client.connection_pool.release(connection)
