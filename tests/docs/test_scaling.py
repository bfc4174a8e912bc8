"""docs/scaling.md, tried on one machine: servers that start with the files it shows, and settings that lead there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
import redis
from dotenv import dotenv_values

from config.loading import load_settings
from config.redis_clients import threads_client
from config.settings import Settings
from tests.docs.pages import DOCS, SHELL, Block, blocks
from tests.hosts.certificates import Authority
from tests.port import free_port

WITHIN_S = 30.0
PROGRAMS = ("redis-server", "redis-sentinel")


def block(words: str) -> Block:
    """The page's one block with these words. Raises ValueError where there is not just one."""
    (found,) = [one for one in blocks(DOCS / "scaling.md") if words in one.body]
    return found


@dataclass(frozen=True)
class Host:
    """Both of the page's hosts on this machine: `here` puts its folder, ports and names in place of the page's."""

    folder: Path
    server_port: int
    sentinel_port: int

    def here(self, text: str) -> str:
        """The page's text for this machine."""
        ours = {
            "/etc/redis/tls/redis-b.": f"{self.folder}/localhost.",
            "/etc/redis/tls/redis-1.": f"{self.folder}/localhost.",
            "/etc/redis/tls/authority.pem": f"{self.folder}/authority.pem",
            "/etc/fennel/authority.pem": f"{self.folder}/authority.pem",
            '["redis-1:26379", "redis-2:26379", "redis-3:26379"]': f'["localhost:{self.sentinel_port}"]',
            "redis-b:6379": f"localhost:{self.server_port}",
            "26379": str(self.sentinel_port),
            "10.0.0.1 6379 2": f"127.0.0.1 {self.server_port} 1",
            "tls-port 6379": f"tls-port {self.server_port}",
            "0.0.0.0": "127.0.0.1",
        }
        for theirs, here in ours.items():
            text = text.replace(theirs, here)
        return text

    def settings(self, *texts: str) -> Settings:
        """What a bot with these lines in its `.env` reads."""
        with pytest.MonkeyPatch.context() as patch:
            for known in [one for one in os.environ if one.startswith("FENNEL_")]:
                patch.delenv(known)
            patch.setenv("FENNEL_HOME", str(self.folder))
            for text in texts:
                for name, value in dotenv_values(stream=StringIO(self.here(text))).items():
                    patch.setenv(name, value or "")
            return load_settings()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A Redis and a sentinel that run with the page's files, Debian's programs both."""
    if "CI" not in os.environ and not all(map(shutil.which, PROGRAMS)):
        pytest.skip("redis-server and redis-sentinel are not installed")
    host = Host(tmp_path_factory.mktemp("scaling"), free_port(), free_port())
    both = Authority(host.folder).sign("localhost", "127.0.0.1").read_text()
    (host.folder / "localhost.key").write_text(both)
    (written,) = re.findall(r"<<'CONF'\n(.*?)CONF\n", block("redis.conf").body, re.DOTALL)
    replication = "tls-replication yes\nmasteruser fennel\nmasterauth THE-PASSWORD\n"
    (host.folder / "redis.conf").write_text(f"dir {host.folder}\n{host.here(written)}{replication}")
    (host.folder / "sentinel.conf").write_text(f"dir {host.folder}\n{host.here(block('sentinel monitor').body)}")
    started = [
        subprocess.Popen(
            [program, f"{program.removeprefix('redis-').replace('server', 'redis')}.conf"], cwd=host.folder
        )
        for program in PROGRAMS
    ]
    yield host
    for process in started:
        process.terminate()
        process.wait(timeout=WITHIN_S)


def answers(settings: Settings) -> bool:
    """Whether the server that these settings name takes a write within the time."""
    end_s = time.monotonic() + WITHIN_S
    while True:
        try:
            with threads_client(settings.redis_address, 5.0) as client:
                return bool(client.set("fennel:tried", 1))
        except redis.RedisError:
            if time.monotonic() > end_s:
                raise
            time.sleep(0.2)


def test_a_bot_reaches_the_page_s_server(host: Host) -> None:
    """With the page's `.env` a bot speaks TLS with a Redis that was started with the page's lines."""
    assert answers(host.settings(block("FENNEL_REDIS__URL=rediss").body))


def test_a_bot_finds_the_server_by_the_page_s_sentinel(host: Host) -> None:
    """With the page's lines in place of the address, the sentinel tells the bot where the server is."""
    first = block("FENNEL_REDIS__URL=rediss").body.replace("FENNEL_REDIS__URL=rediss://redis-b:6379\n", "")

    settings = host.settings(first, block("FENNEL_REDIS__SENTINELS").body)

    assert not settings.redis.is_embedded
    assert answers(settings)


def test_what_is_typed_is_sound_shell() -> None:
    """The blocks that set up other hosts are whole programs for a shell."""
    found = [one for one in blocks(DOCS / "scaling.md") if one.language in SHELL]

    assert found
    for one in found:
        run = subprocess.run(["bash", "-n"], input=one.body, capture_output=True, text=True)
        assert run.returncode == 0, f"{one.body}\n{run.stderr}"
