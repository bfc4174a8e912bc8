"""``python -m cli.redis_server FOLDER COMMAND…``: the embedded Redis, with its users, never twice on one folder.

A server that has no port would take another one's socket away and write into the same append-only file.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path

from config.redis_users import USERS_FOLDER, make_passwords, write_acl_file
from health.parent import end_with_parent

WAIT_S = 75.0
"""A little longer than a server may take to stop; the one before may be about to."""
POLL_S = 0.1


def main() -> None:
    """Take the folder's lock and become the server, which holds it for as long as it lives."""
    folder, command = Path(sys.argv[1]), sys.argv[2:]
    end_with_parent()
    descriptor = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    end_s = time.monotonic() + WAIT_S
    while not _lock(descriptor):
        if time.monotonic() > end_s:
            holder = os.pread(descriptor, 20, 0).decode()
            sys.exit(f"another server (process {holder}) works on {folder}: `fennel down` stops it")
        time.sleep(POLL_S)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    os.set_inheritable(descriptor, True)
    # Made here and nowhere else: as long as a server of an older version runs, which knows no users, there is no
    # password, and whoever connects comes as nobody.
    users = folder / USERS_FOLDER
    make_passwords(users)
    command += ["--aclfile", str(write_acl_file(users))]
    os.execv(command[0], command)  # noqa: S606 -- no shell is wanted


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    main()
