"""`fennel doctor`: each fault is found, with the command that mends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from cli.checks import machine, model, platforms, store
from cli.doctor import doctor
from config.loading import load_settings
from config.settings import Settings
from contract.finding import Finding
from tests.valkey import ValkeyServer


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valkey: ValkeyServer) -> Callable[..., Settings]:
    """Settings of a home folder of the test's own, with the session's Redis."""
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path))
    monkeypatch.setenv("FENNEL_REDIS__URL", valkey.url)
    monkeypatch.setenv("FENNEL_ENGINE__KIND", "echo")

    def load(**changed: str) -> Settings:
        for name, value in changed.items():
            monkeypatch.setenv(name, value)
        return load_settings()

    return load


def the(subject: str, found: list[Finding]) -> Finding:
    """The one finding of this subject."""
    (one,) = [finding for finding in found if finding.subject == subject]
    return one


def test_a_sound_redis_has_no_fault(settings: Callable[..., Settings]) -> None:
    """Redis, its file, its memory and its clock are each looked at."""
    found = store.findings(settings())

    assert [(one.subject, one.is_well) for one in found] == [
        ("Redis", True),
        ("Redis persistence", True),
        ("Redis memory", True),
        ("clock", True),
    ]


@pytest.mark.parametrize(
    ("option", "value", "subject", "cure"),
    [
        ("appendonly", "no", "Redis persistence", "CONFIG SET appendonly yes"),
        ("appendfsync", "no", "Redis persistence", "CONFIG SET appendfsync always"),
        ("maxmemory-policy", "allkeys-lru", "Redis memory", "CONFIG SET maxmemory-policy noeviction"),
        ("maxmemory", "1mb", "Redis memory", "maxmemory"),
    ],
)
def test_a_redis_that_would_lose_questions_is_told(
    settings: Callable[..., Settings],
    make_valkey: Callable[[], ValkeyServer],
    option: str,
    value: str,
    subject: str,
    cure: str,
) -> None:
    """Each way of losing them is named with the command against it, and nothing else is blamed."""
    server = make_valkey()
    with redis.Redis.from_url(server.url) as client:
        client.config_set(option, value)

    found = store.findings(settings(FENNEL_REDIS__URL=server.url))

    assert [one.subject for one in found if not one.is_well] == [subject]
    assert cure in the(subject, found).cure


def test_a_clock_that_is_off_is_told(monkeypatch: pytest.MonkeyPatch, settings: Callable[..., Settings]) -> None:
    """Two machines whose times differ would take questions for older than they are."""
    real = redis.Redis.time
    monkeypatch.setattr(redis.Redis, "time", lambda self: (real(self)[0] - 30, 0))

    clock = the("clock", store.findings(settings()))

    assert not clock.is_well
    assert "-30." in clock.says or "-29." in clock.says


def test_secrets_that_others_may_read_are_told(settings: Callable[..., Settings], tmp_path: Path) -> None:
    """The settings' file of the home folder may hold tokens."""
    file = tmp_path / "fennel.toml"
    file.write_text("")
    file.chmod(0o644)
    told = the("settings", machine.findings(settings()))
    file.chmod(0o600)
    mended = the("settings", machine.findings(settings()))

    assert (told.is_well, mended.is_well) == (False, True)
    assert told.cure == f"chmod 600 '{file}'"


def test_a_model_folder_that_lacks_something_is_told(settings: Callable[..., Settings], tmp_path: Path) -> None:
    """The model's files are looked at by a program of its own, without loading them."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")

    found = model.findings(
        settings(FENNEL_ENGINE__KIND="transformers", FENNEL_ENGINE__MODEL=str(tmp_path / "model")), is_loaded=False
    )

    assert the("GPU", found).is_well
    assert the("model", found).says.endswith("lacks tokenizer.json")


def test_a_platform_is_asked_for_its_own_findings(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is set up is asked, and its name stands before each of its findings; others are not mentioned."""

    async def look(name: str, _settings: Settings) -> list[Finding]:
        return [Finding("bot token", False, "it is revoked", "make another")]

    monkeypatch.setattr(platforms, "_look", look)
    loaded = settings(FENNEL_SLACK__BOT_TOKEN="xoxb-1", FENNEL_SLACK__APP_TOKEN="xapp-1")

    assert [one.subject for one in platforms.findings(loaded)] == ["slack bot token"]
    assert platforms.findings(loaded, "lark")[0].cure == "set FENNEL_LARK__APP_ID and FENNEL_LARK__APP_SECRET"


def test_the_command_ends_with_1_where_something_is_wrong(settings: Callable[..., Settings]) -> None:
    """Programs read one object, people a table that begins each cure with an arrow."""
    settings()
    as_json = CliRunner().invoke(doctor, ["--json"])
    shown = CliRunner().invoke(doctor, [])

    body = json.loads(as_json.stdout)
    assert (as_json.exit_code, body["is_well"]) == (1, False)
    assert [one["subject"] for one in body["findings"] if not one["is_well"]] == ["supervisord", "engine of worker_0"]
    assert (shown.exit_code, "→ fennel up" in shown.stdout) == (1, True)


def test_a_wrong_setting_is_a_finding(settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the settings cannot be read, that is what is told."""
    monkeypatch.setenv("FENNEL_WORKER__PROCESSES", "many")

    ended = CliRunner().invoke(doctor, ["--json"])

    assert ended.exit_code == 1
    assert [one["subject"] for one in json.loads(ended.stdout)["findings"]] == ["settings"]
