"""Settings: where they come from, and which wins."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from config.environment import CHECKOUT, environment_with, redis_server, supervised_program, take_one_gpu
from config.loading import load_settings
from config.settings import DEFAULTS_FILE, Settings


def defaults() -> dict[str, dict[str, Any]]:
    return tomllib.loads(DEFAULTS_FILE.read_text())


def sections() -> dict[str, type[BaseModel]]:
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def test_defaults_are_those_of_the_file() -> None:
    """Without any setting, each key has the value that config/fennel.toml shows."""
    found = load_settings()

    for section, keys in defaults().items():
        for key, value in keys.items():
            actual = getattr(getattr(found, section), key)
            assert value == (actual.get_secret_value() if isinstance(actual, SecretStr) else actual)


def test_every_key_is_a_field_and_every_field_a_key() -> None:
    """The file lists all settings and no others."""
    in_file = {(section, key) for section, keys in defaults().items() for key in keys}
    in_code = {(name, key) for name, section in sections().items() for key in section.model_fields}

    assert in_file == in_code


def test_no_field_has_a_default_in_the_code() -> None:
    """A default stands in config/fennel.toml and nowhere else."""
    assert [
        f"{name}.{key}"
        for name, section in sections().items()
        for key, field in section.model_fields.items()
        if not field.is_required()
    ] == []


def test_every_key_has_a_comment() -> None:
    """Each line with a key says what the key means."""
    lines = [line for line in DEFAULTS_FILE.read_text().splitlines() if re.match(r"\w+ = ", line)]

    assert [line for line in lines if not re.search(r" # \S.{3,}", line)] == []
    assert len(lines) == sum(len(keys) for keys in defaults().values())


def test_environment_wins_over_dotenv_over_home_over_defaults(
    monkeypatch: pytest.MonkeyPatch, home: Path, tmp_path: Path
) -> None:
    """Each source beats the next, key by key."""
    (home / "fennel.toml").write_text("[worker]\nprocesses = 2\nmax_in_flight = 2\ndrain_s = 2.0\n")
    (tmp_path / ".env").write_text("FENNEL_WORKER__PROCESSES=3\nFENNEL_WORKER__MAX_IN_FLIGHT=3\n")
    monkeypatch.setenv("FENNEL_WORKER__PROCESSES", "4")

    worker = load_settings().worker

    assert (worker.processes, worker.max_in_flight, worker.drain_s) == (4, 3, 2.0)
    assert defaults()["worker"]["lease_s"] == worker.lease_s


def test_home_is_taken_from_dotenv_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """FENNEL_HOME in .env names the folder, and that folder's fennel.toml counts."""
    monkeypatch.delenv("FENNEL_HOME")
    other = tmp_path / "other"
    other.mkdir()
    (other / "fennel.toml").write_text("[redis]\nport = 0\n")
    (tmp_path / ".env").write_text(f"FENNEL_HOME={other}\n")

    found = load_settings()

    assert (other, 0) == (found.home, found.redis.port)


def test_home_is_var_in_the_checkout_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer sets nothing and finds everything in var/."""
    monkeypatch.delenv("FENNEL_HOME")

    assert load_settings().home == CHECKOUT / "var"


def test_a_relative_home_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Programs that are started elsewhere find the same folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FENNEL_HOME", "home")

    assert tmp_path / "home" == load_settings().home


def test_other_programs_share_dotenv(tmp_path: Path) -> None:
    """A name in .env that is not ours is left alone."""
    (tmp_path / ".env").write_text("COMPOSE_PROJECT_NAME=chat\n")

    load_settings()


def test_the_programs_own_names_are_no_unknown_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is set for supervisord.conf, and which server to run, stands in the environment or .env without harm."""
    monkeypatch.setenv("FENNEL_SUPERVISOR_PROGRAM", "worker_3")
    (tmp_path / ".env").write_text("FENNEL_REDIS_SERVER=/usr/bin/a-server\n")

    load_settings()

    assert (supervised_program(), redis_server()) == ("worker_3", "/usr/bin/a-server")


@pytest.mark.parametrize("name", ["FENNEL_SLACK__BOT_TOKEN", "FENNEL_WECOM__AES_KEY", "FENNEL_LARK__APP_SECRET"])
def test_a_secret_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The settings may be printed without giving a secret away."""
    monkeypatch.setenv(name, "hush-hush")

    assert "hush-hush" not in repr(load_settings())


def test_settings_are_frozen() -> None:
    """What was read at the start stays."""
    found = load_settings()

    with pytest.raises(ValueError, match="frozen"):
        found.worker.processes = 3  # type: ignore[misc]  # the type checker knows it, too


def test_folders_are_made_for_this_user_alone(home: Path) -> None:
    """Sockets and documents are nobody else's."""
    found = load_settings()
    found.make_folders()

    for folder in (
        found.run_folder,
        found.logs_folder,
        found.models_folder,
        found.redis_folder,
        found.index_file.parent,
    ):
        assert (folder, 0o700) == (folder, folder.stat().st_mode & 0o777)


def test_a_program_gets_the_environment_and_what_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is added wins, and the rest is passed on."""
    monkeypatch.setenv("FENNEL_LOG__LEVEL", "debug")

    given = environment_with(FENNEL_HOME="/elsewhere")

    assert (given["FENNEL_LOG__LEVEL"], given["FENNEL_HOME"]) == ("debug", "/elsewhere")


@pytest.mark.parametrize(
    ("processes", "name", "named", "cards", "seen"),
    [
        (2, "worker_1", None, 2, "1"),
        (2, "worker_0", None, 2, "0"),
        (3, "worker_2", None, 2, "0"),
        (2, "worker_1", "4,6", 8, "6"),
        (2, "worker_1", "", 2, ""),
        (2, "worker_1", None, 0, None),
        (1, "worker_0", None, 2, None),
        (2, "mine", None, 2, None),
    ],
)
def test_each_worker_takes_one_gpu(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    processes: int,
    name: str,
    named: str | None,
    cards: int,
    seen: str | None,
) -> None:
    """Of several workers each sees one GPU, by its number among those that the machine or its user gives."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named or "")
    if named is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("FENNEL_WORKER__PROCESSES", str(processes))
    gpus = tmp_path / "gpus"
    for number in range(cards):
        (gpus / f"0000:0{number}:00.0").mkdir(parents=True)
    take_one_gpu(name, load_settings().worker.processes, gpus)
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == seen
