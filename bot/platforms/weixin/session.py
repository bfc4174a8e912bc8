"""A WeChat login: what the phone confirmed, kept in the home folder for nobody else to read."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from bot.platform import PlatformError


@dataclass(frozen=True, slots=True)
class Session:
    """One login. `token` is a secret; `base_url` is the server that WeChat assigned to it."""

    token: str
    bot_id: str
    base_url: str


class SessionFile:
    """Keeps the login between two starts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Session | None:
        """The login, None where there is none. Raises PlatformError for a file that cannot be used."""
        try:
            session = Session(**json.loads(self.path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise PlatformError(f"{self.path} cannot be used ({error}): delete it and log in again") from error
        if not all(isinstance(part, str) and part for part in asdict(session).values()):
            raise PlatformError(f"{self.path} lacks a part of the login: delete it and log in again")
        return session

    def save(self, session: Session) -> None:
        """Keep the login: never half of it, and never readable to others, not even for a moment."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        half = self.path.with_suffix(".half")
        half.unlink(missing_ok=True)
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(session), file)
            file.flush()
            os.fsync(file.fileno())
        half.replace(self.path)

    def forget(self) -> None:
        """The login is worth nothing any more."""
        self.path.unlink(missing_ok=True)
