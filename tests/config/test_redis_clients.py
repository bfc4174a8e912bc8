"""Clients of Redis: both kinds, on a real server with a password."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Iterator

import pytest
import redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from config.redis_address import RedisAddress
from config.redis_clients import asyncio_client, threads_client
from config.redis_trouble import Trouble, trouble
from tests.port import free_port
from tests.valkey import ValkeyServer

PASSWORD = "open/sesame"
ONCE = Retry(NoBackoff(), 0)


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


async def troubles(address: RedisAddress) -> list[Trouble]:
    """What each kind of client meets there."""
    with threads_client(address, 5.0) as client, pytest.raises(redis.RedisError) as first:
        client.ping()
    async with asyncio_client(address, ONCE) as other:
        with pytest.raises(redis.RedisError) as second:
            await other.ping()
    return [trouble(caught.value, address) for caught in (first, second)]


@pytest.mark.parametrize(("password", "says"), [("wrong", "refuses the password"), ("", "wants a password")])
async def test_a_wrong_password_is_told_in_a_sentence(locked: ValkeyServer, password: str, says: str) -> None:
    """The sentence names the server, what to set, and no password; waiting does not help, for either kind."""
    address = dataclasses.replace(locked.address, password=password)
    for found in await troubles(address):
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
        found_by_both = await troubles(address)
    for found in found_by_both:
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
