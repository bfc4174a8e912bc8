"""Wrong settings are told in a sentence that names the key and the cure, and shows no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.loading import load_settings
from config.settings_error import SettingsError


def sentence_of(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> str:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return str(caught.value)


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


def test_a_wrong_secret_is_not_shown(home: Path) -> None:
    """Not even the sentence about a secret that cannot be used shows it."""
    (home / "fennel.toml").write_text('[slack]\nbot_token = ["hush-hush"]\n')

    with pytest.raises(SettingsError, match=r"^FENNEL_SLACK__BOT_TOKEN=\(not shown\) cannot be used: ") as caught:
        load_settings()

    assert "hush-hush" not in str(caught.value)


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
