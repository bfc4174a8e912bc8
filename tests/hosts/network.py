"""Hosts on a switch of their own: network namespaces, a bridge, and cables that can be pulled.

``python -m tests.hosts.network`` says whether this machine permits them; exit code 0 where it does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PROGRAMS = {"ip": "iproute2", "redis-server": "redis-server", "redis-sentinel": "redis-sentinel"}


# Programs tell hosts apart by their names.
AS_ITSELF = ("sh", "-c", 'hostname "$0" && exec "$@"')


class NoNetworkError(Exception):
    """Why hosts cannot be made here, and how they can."""


def check() -> None:
    """Return where hosts can be made; raises NoNetworkError with one sentence."""
    missing = sorted(package for program, package in PROGRAMS.items() if shutil.which(program) is None)
    if missing:
        raise NoNetworkError(
            f"the tests with several hosts need {' '.join(missing)}: apt-get install {' '.join(missing)}"
        )
    name = f"fennel-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode == 0:
        bridge = ["ip", "-n", name, "link", "add", "br0", "type", "bridge"]
        made = subprocess.run(bridge, capture_output=True, text=True)
        subprocess.run(["ip", "netns", "delete", name], check=True)
    if made.returncode:
        raise NoNetworkError(
            f"the tests with several hosts need network namespaces, which this machine does not permit "
            f"({made.stderr.strip()}): run them as root, in a container with --cap-add NET_ADMIN --cap-add SYS_ADMIN"
        )


class Host:
    """One host: its address, the programs that run on it, and the cable between it and the switch."""

    def __init__(self, name: str, namespace: str, switch: str, address: str) -> None:
        self.name = name
        self.address = address
        self._namespace = namespace
        self._switch = switch
        self._programs: list[subprocess.Popen[bytes]] = []

    def run(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
        """Start a program on this host; what it prints goes to `log`."""
        with log.open("ab") as out:
            process = subprocess.Popen(
                [*("ip", "netns", "exec", self._namespace), *("unshare", "--uts"), *AS_ITSELF, self.name, *command],
                env={**os.environ, **environment},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self._programs.append(process)
        return process

    def cut(self) -> None:
        """Pull the cable: what is sent either way is lost, and nobody is told."""
        _ip("-n", self._switch, "link", "set", self.name, "down")

    def mend(self) -> None:
        """Put the cable back."""
        _ip("-n", self._switch, "link", "set", self.name, "up")

    def crash(self) -> None:
        """Pull the cable and end all programs at once, as a power cut would."""
        self.cut()
        self.stop()

    def stop(self) -> None:
        """End all programs at once."""
        for process in self._programs:
            process.kill()
        for process in self._programs:
            process.wait()
        self._programs.clear()


class Network:
    """A switch and the hosts on it, and an address on it for this process. Everything goes when the block ends."""

    def __init__(self) -> None:
        self._tag = f"fennel-{os.getpid()}"
        self._switch = f"{self._tag}-switch"
        self._port = f"fnl{os.getpid()}"[:15]
        self._prefix = f"10.253.{os.getpid() % 250}"
        self._hosts: list[Host] = []
        self.address = f"{self._prefix}.1"

    def __enter__(self) -> Self:
        check()
        try:
            _ip("netns", "add", self._switch)
            _ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
            _ip("-n", self._switch, "link", "set", "br0", "up")
            _ip("link", "add", self._port, "type", "veth", "peer", "name", "here", "netns", self._switch)
            _ip("-n", self._switch, "link", "set", "here", "master", "br0", "up")
            _ip("address", "add", f"{self.address}/24", "dev", self._port)
            _ip("link", "set", self._port, "up")
        except subprocess.CalledProcessError:
            self._remove()
            raise
        return self

    def host(self, name: str) -> Host:
        """A new host; its name has 15 characters at most."""
        namespace = f"{self._tag}-{name}"
        host = Host(name, namespace, self._switch, f"{self._prefix}.{len(self._hosts) + 10}")
        self._hosts.append(host)
        _ip("netns", "add", namespace)
        _ip("-n", namespace, "link", "set", "lo", "up")
        _ip("-n", self._switch, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("-n", self._switch, "link", "set", name, "master", "br0", "up")
        _ip("-n", namespace, "address", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", namespace, "link", "set", "eth0", "up")
        return host

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for host in self._hosts:
            host.stop()
        with contextlib.suppress(subprocess.CalledProcessError):
            _ip("link", "delete", self._port)
        for namespace in (*(f"{self._tag}-{host.name}" for host in self._hosts), self._switch):
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "delete", namespace)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def main() -> int:
    """Say whether hosts can be made here."""
    try:
        check()
    except NoNetworkError as error:
        print(f"{error}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
