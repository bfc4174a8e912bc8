"""Debian's Redis and Sentinel on a host: TLS and nothing else, a user with a password, an append-only file."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import redis

from config.redis_address import SENTINEL_PORT, RedisAddress
from config.redis_clients import threads_client
from tests.hosts.certificates import Authority
from tests.hosts.network import Host
from tests.waiting import until

PORT = 6379
USER, PASSWORD = "fennel", "0pen/ses@me:now"
SERVICE = "queue"
DOWN_AFTER_MS = 1_500


class RedisHost:
    """A Redis server on a host, and a sentinel where it is wanted."""

    def __init__(self, host: Host, authority: Authority, folder: Path, follows: RedisHost | None = None) -> None:
        self.host = host
        self._authority = authority
        self._certificate = authority.sign(host.name, host.address)
        self._folder = folder / host.name
        self._folder.mkdir()
        self._follows = follows
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> RedisAddress:
        """What clients want to know of this one server."""
        return RedisAddress(
            url=f"rediss://{self.host.address}:{PORT}",
            user=USER,
            password=PASSWORD,
            tls=True,
            ca_file=str(self._authority.file),
            certificate_file=str(self._certificate),
        )

    @property
    def settings(self) -> dict[str, str]:
        """The same for a program's environment."""
        return {"FENNEL_REDIS__URL": self.address.url, **who(self._authority, self._certificate)}

    def start(self, *more: str) -> None:
        """Start the server with what it wrote before; returns when it answers."""
        lines = [
            *self._tls(PORT),
            f"user {USER} on >{PASSWORD} ~* &* +@all",
            "user default off",
            f"masteruser {USER}",
            f"masterauth {PASSWORD}",
            "appendonly yes",
            "appendfsync always",
            'save ""',
            "repl-diskless-sync-delay 0",
            "repl-timeout 5",
            *more,
        ]
        if self._follows:
            lines.append(f"replicaof {self._follows.host.address} {PORT}")
        self.process = self._run("redis-server", "redis.conf", lines)
        until(lambda: asked(self.address, lambda client: client.ping()))
        if self._follows:
            until(lambda: asked(self.address, lambda client: client.info("replication")["master_link_status"] == "up"))

    def watch(self, first: RedisHost, quorum: int) -> None:
        """Start a sentinel beside the server, which watches `first` and what follows it."""
        lines = [
            *self._tls(SENTINEL_PORT),
            "requirepass watch",
            f"sentinel monitor {SERVICE} {first.host.address} {PORT} {quorum}",
            f"sentinel auth-user {SERVICE} {USER}",
            f"sentinel auth-pass {SERVICE} {PASSWORD}",
            "sentinel sentinel-pass watch",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 6000",
        ]
        self._run("redis-sentinel", "sentinel.conf", lines)

    def _tls(self, port: int) -> list[str]:
        return [
            "port 0",
            f"tls-port {port}",
            "protected-mode no",
            f"dir {self._folder}",
            f"tls-cert-file {self._certificate}",
            f"tls-key-file {self._certificate}",
            f"tls-ca-cert-file {self._authority.file}",
            "tls-auth-clients yes",
            "tls-replication yes",
        ]

    def _run(self, program: str, name: str, lines: list[str]) -> subprocess.Popen[bytes]:
        file = self._folder / name
        file.write_text("\n".join(lines) + "\n")
        return self.host.run([program, str(file)], {}, self._folder / f"{name}.log")


class Watched:
    """Three hosts, each with a server and a sentinel; the first one serves."""

    def __init__(self, servers: list[RedisHost], authority: Authority, certificate: Path) -> None:
        self.servers = servers
        self._authority = authority
        self._certificate = certificate

    def start(self, *more: str) -> None:
        """Start all; returns when each sentinel knows all the others and the replicas."""
        for server in self.servers:
            server.start(*more)
        for server in self.servers:
            server.watch(self.servers[0], quorum=2)
        until(lambda: all(self._is_complete(server) for server in self.servers))

    @property
    def settings(self) -> dict[str, str]:
        """What a program's environment has to say."""
        sentinels = ", ".join(f'"{server.host.address}"' for server in self.servers)
        return {
            "FENNEL_REDIS__SENTINELS": f"[{sentinels}]",
            "FENNEL_REDIS__SENTINEL_SERVICE": SERVICE,
            "FENNEL_REDIS__SENTINEL_PASSWORD": "watch",
            "FENNEL_REDIS__SENTINEL_TLS": "true",
            **who(self._authority, self._certificate),
        }

    def now(self) -> RedisHost:
        """The server that the last host's sentinel names."""
        with self._sentinel(self.servers[-1]) as client:
            address, _ = client.sentinel_get_master_addr_by_name(SERVICE)
        return next(server for server in self.servers if server.host.address == address)

    def _is_complete(self, server: RedisHost) -> bool:
        with contextlib.suppress(redis.RedisError, KeyError), self._sentinel(server) as client:
            state = client.sentinel_master(SERVICE)
            return (int(state["num-other-sentinels"]), int(state["num-slaves"])) == (2, 2)
        return False

    def _sentinel(self, server: RedisHost) -> redis.Redis:
        address = RedisAddress(
            url=f"rediss://{server.host.address}:{SENTINEL_PORT}",
            password="watch",
            tls=True,
            ca_file=str(self._authority.file),
            certificate_file=str(self._certificate),
        )
        return threads_client(address, 5.0)


def who(authority: Authority, certificate: Path) -> dict[str, str]:
    """Who we are and whom we trust, for a program's environment."""
    return {
        "FENNEL_REDIS__USER": USER,
        "FENNEL_REDIS__PASSWORD": PASSWORD,
        "FENNEL_REDIS__CA_FILE": str(authority.file),
        "FENNEL_REDIS__CERTIFICATE_FILE": str(certificate),
    }


def asked(address: RedisAddress, ask: Callable[[redis.Redis], object]) -> bool:
    """Whether the server answers yes; no while it does not answer."""
    with contextlib.suppress(redis.RedisError), threads_client(address, 5.0) as client:
        return bool(ask(client))
    return False
