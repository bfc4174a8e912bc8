"""Settings: the file in the home folder, `.env`, and the environment."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

from config import environment as module
from config.environment import redis_server
from config.loading import load_settings
from config.settings import DEFAULTS_FILE, Settings
from config.settings_error import SettingsError
from tests.fuzz.target import Reading, Target

PARTS = ("toml", "dotenv", "environment")


class SettingsFiles(Target):
    """An input is JSON with the text of both files and the environment's names; what is no JSON is the file itself."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="fennel-fuzz-"))
        self._dotenv = self._folder / ".env"

    def seeds(self) -> Sequence[bytes]:
        """A file, a .env and an environment with something of everything."""
        toml = DEFAULTS_FILE.read_text()
        channel = (
            '[channels."slack:T1:C1"]\nlisten = "ambient"\nwork_hours = "09:00-18:00"\ntime_zone = "Asia/Shanghai"\n'
        )
        environment = {"FENNEL_WORKER__PROCESSES": "2", "FENNEL_ACCESS__ADMINS": '["slack:T1:U1"]'}
        dotenv = "FENNEL_SLACK__BOT_TOKEN='xoxb-1'\nFENNEL_LOG__LEVEL=debug # quiet\nexport OTHER=\"${HOME}\"\n"
        small = {"toml": channel, "dotenv": dotenv, "environment": environment}
        return [json.dumps(small).encode(), channel.encode(), toml.encode()]

    def read(self, data: bytes) -> bool:
        """Raises anything but SettingsError, or a sentence that has a secret in it."""
        with self._written(data), Reading(SettingsError) as reading:
            load_settings()
            redis_server()
        return reading.took

    @contextlib.contextmanager
    def _written(self, data: bytes) -> Iterator[None]:
        toml, dotenv, environment = _parts(data)
        (self._folder / "fennel.toml").write_bytes(toml)
        self._dotenv.write_bytes(dotenv)
        ours = {"FENNEL_HOME": str(self._folder), "PATH": os.defpath, **environment}
        with (
            mock.patch.dict(os.environ, ours, clear=True),
            mock.patch.object(module, "DOTENV_FILE", self._dotenv),
            mock.patch.dict(Settings.model_config, {"env_file": self._dotenv}),
        ):
            yield

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _parts(data: bytes) -> tuple[bytes, bytes, dict[str, str]]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or not set(PARTS) & set(body):
        return data, b"", {}
    toml, dotenv, environment = (body.get(part) for part in PARTS)
    pairs = environment.items() if isinstance(environment, dict) else ()
    return _bytes(toml), _bytes(dotenv), {name: value for name, one in pairs if _is_possible(name, value := str(one))}


def _bytes(text: object) -> bytes:
    return text.encode("utf-8", "surrogatepass") if isinstance(text, str) else b""


def _is_possible(name: str, value: str) -> bool:
    """Whether the system takes it as a variable at all."""
    if not name or "=" in name or "\0" in name + value or name == "FENNEL_HOME":
        return False
    try:
        os.fsencode(name + value)
    except UnicodeEncodeError:
        return False
    return True
