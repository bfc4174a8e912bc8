"""Settings: where they come from, which wins, and what is said of wrong ones."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from config import environment as module
from config.environment import CHECKOUT, environment_with, redis_server, supervised_program, take_one_gpu
from config.loading import load_settings
from config.settings import DEFAULTS_FILE, Settings
from config.settings_error import SettingsError


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home folder and a .env of this test's own, and none of the environment's settings."""
    for name in list(os.environ):
        if name.startswith("FENNEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(module, "DOTENV_FILE", tmp_path / ".env")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("FENNEL_HOME", str(folder))
    return folder


def sentence_of(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> str:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return str(caught.value)


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


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("FENNEL_WORKER__PROCESSES", "none", "FENNEL_WORKER__PROCESSES='none' cannot be used: input should be a valid"),
        (
            "FENNEL_WORKER__PROCESSES",
            "-1",
            "FENNEL_WORKER__PROCESSES='-1' cannot be used: input should be greater than",
        ),
        ("FENNEL_REDIS__PORT", "65536", "FENNEL_REDIS__PORT='65536' cannot be used: input should be less than or"),
        ("FENNEL_ENGINE__KIND", "gpt", "FENNEL_ENGINE__KIND='gpt' cannot be used: input should be 'transformers', "),
        ("FENNEL_ENGINE__MODEL", "", "FENNEL_ENGINE__MODEL='' cannot be used: string should have at least 1"),
        ("FENNEL_BOT__NAME", "two words", "FENNEL_BOT__NAME='two words' cannot be used: string should match"),
        (
            "FENNEL_ENGINE__REMOTE_URLS",
            '["https://me:word@host"]',
            "FENNEL_ENGINE__REMOTE_URLS__0=(not shown) cannot be used",
        ),
        ("FENNEL_GATE__MIN_SCORE", "nan", "FENNEL_GATE__MIN_SCORE='nan' cannot be used: input should be "),
    ],
)
def test_a_wrong_value_is_told_with_key_value_and_wish(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, wanted: str
) -> None:
    """The sentence names the key, the value and what is wanted."""
    assert sentence_of(monkeypatch, name, value).startswith(wanted)


def test_an_unknown_key_in_the_environment_is_told_with_the_nearest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt setting stops the program rather than being ignored."""
    said = sentence_of(monkeypatch, "FENNEL_WORKER__MAX_INFLIGHT", "3")

    assert said == (
        "FENNEL_WORKER__MAX_INFLIGHT is no setting of Fennel (did you mean FENNEL_WORKER__MAX_IN_FLIGHT?); "
        "config/fennel.toml lists them all"
    )


def test_an_unknown_key_near_nothing_is_told_without_a_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guess that would be wrong is not made."""
    said = sentence_of(monkeypatch, "FENNEL_ZZZ", "3")

    assert said == "FENNEL_ZZZ is no setting of Fennel; config/fennel.toml lists them all"


def test_an_unknown_key_in_the_home_file_is_told(home: Path) -> None:
    """A file with a misspelt key stops the program too."""
    (home / "fennel.toml").write_text("[worker]\nprocess = 3\n")

    with pytest.raises(SettingsError, match=r"^FENNEL_WORKER__PROCESS is no setting of Fennel; "):
        load_settings()


@pytest.mark.parametrize("text", ["[workers]\nprocesses = 3\n", 'home = "/elsewhere"\n'])
def test_an_unknown_section_in_the_home_file_is_told(home: Path, text: str) -> None:
    """So does one with a misspelt section, or a key outside of all."""
    (home / "fennel.toml").write_text(text)

    with pytest.raises(SettingsError, match=r"fennel\.toml has (workers|home), which is no section; "):
        load_settings()


@pytest.mark.parametrize("name", ["FENNEL_WORKER__PROCESS", "FENNEL_WORKERS__PROCESSES"])
def test_an_unknown_key_in_dotenv_is_told(tmp_path: Path, name: str) -> None:
    """So does one in .env, with the nearest name as in the environment."""
    (tmp_path / ".env").write_text(f"{name}=3\n")

    with pytest.raises(
        SettingsError, match=rf"^{name} is no setting of Fennel \(did you mean FENNEL_WORKER__PROCESSES"
    ):
        load_settings()


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


def test_a_home_file_that_is_no_toml_is_told(home: Path) -> None:
    """A slip in the file is a sentence, no traceback."""
    (home / "fennel.toml").write_text("[worker\n")

    with pytest.raises(SettingsError, match=r"^the settings cannot be read: .*line 1"):
        load_settings()


def test_a_home_file_that_is_nested_without_end_is_told(home: Path) -> None:
    """The parser gives up before Python's stack does, and says so."""
    (home / "fennel.toml").write_text(f"worker = {'[' * 9_999}")

    with pytest.raises(SettingsError, match=r"^the settings cannot be read: "):
        load_settings()


def test_a_home_file_that_is_not_text_is_told(home: Path) -> None:
    """Nor do bytes that are no UTF-8 make one."""
    (home / "fennel.toml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(SettingsError, match=r"^the settings cannot be read: "):
        load_settings()


def test_a_section_that_is_no_table_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole section in one variable is not understood, and that is said."""
    assert "FENNEL_WORKER" in sentence_of(monkeypatch, "FENNEL_WORKER", "3")


@pytest.mark.parametrize("name", ["FENNEL_SLACK__BOT_TOKEN", "FENNEL_WECOM__AES_KEY", "FENNEL_LARK__APP_SECRET"])
def test_a_secret_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The settings may be printed without giving a secret away."""
    monkeypatch.setenv(name, "hush-hush")

    assert "hush-hush" not in repr(load_settings())


def test_a_wrong_secret_is_not_shown(home: Path) -> None:
    """Not even the sentence about a secret that cannot be used shows it."""
    (home / "fennel.toml").write_text('[slack]\nbot_token = ["hush-hush"]\n')

    with pytest.raises(SettingsError, match=r"^FENNEL_SLACK__BOT_TOKEN=\(not shown\) cannot be used: ") as caught:
        load_settings()

    assert "hush-hush" not in str(caught.value)


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


def test_a_home_that_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A file where the folder should be is one way; the sentence says what to do."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path / "file" / "home"))

    with pytest.raises(SettingsError, match=r"^FENNEL_HOME=.* cannot be written \(Not a directory\): name a folder"):
        load_settings().make_folders()


def test_a_home_too_long_for_sockets_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A socket's path has a limit that no other file has."""
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path / ("x" * 100)))

    with pytest.raises(SettingsError, match=r"is too long a path for the sockets in it \(.* has 107 bytes at most\)"):
        load_settings().make_folders()


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
