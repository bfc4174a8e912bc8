"""What the tests with several hosts play on: a network, the made-up chat, an authority, and programs on hosts."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.document_home import QUESTION, add_document
from tests.fakes.chat import FakeChat
from tests.hosts.certificates import Authority
from tests.hosts.network import Host, Network
from tests.hosts.servers import RedisHost, Watched
from tests.limits import NO_LIMITS

THREADS = 20
LEASE_S = "4"
BOT_LEASE_S = "10"
"""A third of it is more than the three seconds for which the kernel keeps what waits for a neighbour's address: with a
shorter one, what a cut-off bot has begun to send can come through after another one has taken over."""


class Stage:
    """Everything of one test; all of it ends with the block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = Network()
        self.chat = FakeChat(redeliver_after_s=1.0)
        self.authority = Authority(folder)
        self.asked: list[str] = []

    def __enter__(self) -> Self:
        self.network.__enter__()
        self.chat.host = self.network.address
        self.chat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.chat.stop()
        finally:
            self.network.__exit__(kind, error, trace)

    # --- hosts

    def redis(self, name: str, follows: RedisHost | None = None) -> RedisHost:
        """A host with a Redis server that is not started yet."""
        return RedisHost(self.network.host(name), self.authority, self.folder, follows)

    def watched(self) -> Watched:
        """Three hosts with Redis and Sentinel that are not started yet."""
        first = self.redis("redis-1")
        servers = [first, self.redis("redis-2", first), self.redis("redis-3", first)]
        return Watched(servers, self.authority, self.authority.sign("client"))

    def worker(self, name: str, redis: dict[str, str], answer_s: float = 0.0) -> Host:
        """A host with a worker on it, whose every answer takes so long."""
        host = self.network.host(name)
        self.start_worker(host, redis, answer_s)
        return host

    def start_worker(self, host: Host, redis: dict[str, str], answer_s: float = 0.0) -> subprocess.Popen[bytes]:
        """Start a worker on a host."""
        home = self.folder / f"home-{host.name}"
        shutil.copytree(self._documents(), home, dirs_exist_ok=True)
        command = ["-m", "tests.hosts.slow_worker", str(answer_s)]
        return self._run(host, command, redis, home, FENNEL_WORKER__HOST=host.name)

    def bot(self, name: str, redis: dict[str, str], **more: str) -> tuple[Host, subprocess.Popen[bytes]]:
        """A host with the bot of the made-up chat on it."""
        host = self.network.host(name)
        return host, self.start_bot(host, redis, **more)

    def start_bot(self, host: Host, redis: dict[str, str], **more: str) -> subprocess.Popen[bytes]:
        """Start a bot on a host; it takes the account when the one that has it is gone."""
        home = self.folder / f"home-{host.name}"
        command = ["-m", "tests.fakes.chat_bot", "--url", self.chat.url, "--thinks-at-once"]
        command += ["--lease-s", BOT_LEASE_S]
        return self._run(host, command, redis, home, **more)

    def _run(
        self, host: Host, command: list[str], redis: dict[str, str], home: Path, **more: str
    ) -> subprocess.Popen[bytes]:
        home.mkdir(exist_ok=True)
        environment = {
            "FENNEL_HOME": str(home),
            "FENNEL_ENGINE__KIND": "echo",
            **NO_LIMITS,
            "FENNEL_WORKER__LEASE_S": LEASE_S,
            "FENNEL_WORKER__DRAIN_S": "2",
            "PYTHONUNBUFFERED": "1",
            **redis,
            **more,
        }
        return host.run([sys.executable, *command], environment, self.log(host))

    def _documents(self) -> Path:
        """A home folder with a knowledge base, made once: each host gets a copy."""
        home = self.folder / "documents"
        if not home.exists():
            add_document(home)
        return home

    def log(self, host: Host) -> Path:
        """What the host's programs of ours print."""
        return self.folder / f"{host.name}.log"

    # --- questions

    def ask(self, count: int) -> list[str]:
        """People ask so many questions, in several threads; gives their messages' ids."""
        before = len(self.asked)
        ids = [
            self.chat.write(f"{QUESTION} ({number})", thread=f"thread-{number % THREADS}")
            for number in range(before, before + count)
        ]
        self.asked += ids
        return ids

    def all_come_again(self) -> bool:
        """Whether each message that is not acknowledged was delivered a second time, and so seen to once."""
        return all(event.deliveries > 1 for events in list(self.chat.threads.values()) for event in list(events))

    def wait_for_ends(self, count: int, timeout_s: float = 300.0) -> None:
        """Return when so many questions have their end in the chat. Raises TimeoutError."""
        try:
            self.chat.wait_for(lambda: self.ended() >= count, timeout_s)
        except TimeoutError as error:
            unfinished = [self.chat.replies(one) for one in self.unanswered(self.asked)]
            raise TimeoutError(f"these questions have no end: {unfinished[:5]}") from error

    def ended(self) -> int:
        """How many questions have their end in the chat."""
        return sum(post.is_end for post in list(self.chat.posts.values()))

    def unanswered(self, ids: Iterable[str]) -> list[str]:
        """Those without an end in the chat."""
        return [one for one in ids if self.chat.ended(one) is None]

    def check_once(self) -> None:
        """Each question that was asked has one reply, which is its answer."""
        assert self.unanswered(self.asked) == []
        doubled = [one for one in self.asked if len(self.chat.replies(one)) > 1]
        assert doubled == []
        wrong = [one for one in self.asked if "six minutes" not in self.chat.replies(one)[0].text]
        assert wrong == []
