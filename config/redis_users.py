"""The users of Redis: who may do what (`config/valkey.acl`), and their passwords, made once for a home folder.

A password lies in a file of its own, for this user of the system alone; the server is given its SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from enum import StrEnum
from pathlib import Path

TEMPLATE = Path(__file__).with_name("valkey.acl")
PASSWORD_BYTES = 32
ACL_FILE = "users.acl"
USERS_FOLDER = "users"
"""Below the folder of the server's file."""


class Role(StrEnum):
    """Who a program is to Redis."""

    BOT = "bot"
    WORKER = "worker"
    OPERATOR = "operator"


def password_file(folder: Path, role: Role) -> Path:
    """Where the role's password is, or will be."""
    return folder / f"{role}.password"


def read_password(folder: Path, role: Role) -> str:
    """The role's password; empty where none was made yet. Raises OSError where it may not be read."""
    try:
        return password_file(folder, role).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""


def make_passwords(folder: Path) -> None:
    """Make those that are not there yet; two that do so at once agree on the first. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for role in Role:
        file = password_file(folder, role)
        if file.exists():
            continue
        half = folder / f".{role}.{os.getpid()}"
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as written:
            written.write(f"{secrets.token_urlsafe(PASSWORD_BYTES)}\n")
            written.flush()
            os.fsync(written.fileno())
        try:
            os.link(half, file)
        except FileExistsError:
            pass
        finally:
            half.unlink()


def acl_lines(folder: Path) -> list[str]:
    """A line for each user, as an ACL file and ``ACL SETUSER`` have them; passwords as their SHA-256."""
    lines = []
    for name, rules in _template().items():
        secret = ["reset"]
        if name in set(Role):
            password = read_password(folder, Role(name))
            if not password:
                raise OSError(f"{password_file(folder, Role(name))} has no password in it")
            secret += [f"#{hashlib.sha256(password.encode()).hexdigest()}"]
        lines.append(" ".join(["user", name, *secret, *rules]))
    return lines


def write_acl_file(folder: Path) -> Path:
    """Write the embedded server's ACL file anew, so that it is always of this version. Raises OSError."""
    file = folder / ACL_FILE
    half = folder / f".{ACL_FILE}.{os.getpid()}"
    with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as written:
        written.write("\n".join(acl_lines(folder)) + "\n")
    half.replace(file)
    return file


def _template() -> dict[str, list[str]]:
    """The rules of each user, without their reasons."""
    users: dict[str, list[str]] = {}
    rules: list[str] = []
    for line in TEMPLATE.read_text(encoding="utf-8").splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["user"]:
            rules = users[words[1]] = []
        else:
            rules.extend(words)
    return users
