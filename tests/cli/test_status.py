"""`fennel status` as people see it, and the shells' completion."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from cli.completion import completion
from cli.overview import look
from cli.status import rendered
from config.loading import load_settings
from health.last_error import note_error, note_well, read_errors

FOUND: dict[str, Any] = {
    "home": "/home/f",
    "running": True,
    "pid": 7,
    "programs": [
        {
            "name": "worker_0",
            "state": "RUNNING",
            "pid": 9,
            "uptime_s": 200,
            "address": "127.0.0.1:1",
            "last_error": "it was [red]killed",
            "last_error_at_s": 0,
        }
    ],
    "links": [{"program": "bot_slack", "is_up": False, "says": "the link to slack is down"}],
    "engines": [
        {
            "worker": "worker_0",
            "pid": 9,
            "state": "ready",
            "progress": 1.0,
            "what": "",
            "error": "",
            "in_flight": 3,
            "tokens_per_s": 41.5,
            "gpu_memory_bytes": 2_500_000_000,
        }
    ],
    "queue": {"queued": 4, "executing": 3, "failed": 1, "oldest_s": 12.4},
    "redis_error": None,
    "problems": [
        {"program": "bot_slack", "subject": "link", "is_well": False, "says": "is down", "cure": "fennel doctor slack"}
    ],
}


def test_the_table_shows_what_an_operator_asks_first() -> None:
    """Programs, links, queue, oldest question, in flight, tokens a second, GPU memory, last error, and the cure."""
    out = io.StringIO()
    Console(file=out, width=160).print(rendered(FOUND))
    text = out.getvalue()

    for wanted in ("worker_0", "3 min", "it was [red]killed", "the link to slack is down", "41.5", "2.5 GB"):
        assert wanted in text
    assert "4 queued (the oldest for 12 s), 3 executing, 1 failed" in text
    assert "✗ link: is down\n  → fennel doctor slack" in text


def test_nothing_running_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder in which nothing runs has neither programs nor problems."""
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path))
    found = look(load_settings())

    assert (found["running"], found["programs"], found["problems"]) == (False, [], [])
    assert "does not answer" in found["redis_error"]
    assert json.dumps(found)


def test_an_error_is_kept_until_the_program_is_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one stays, in one line of bounded length, with a count that ends when all is well."""
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path))
    settings = load_settings()
    settings.make_folders()
    note_error(settings, "worker_0", "first")
    note_error(settings, "worker_0", "second\n" + "x" * 5_000)
    (settings.health_folder / "bot_slack.error").write_text("{")
    kept = read_errors(settings)
    note_well(settings, "worker_0")

    assert list(kept) == ["worker_0"]
    assert kept["worker_0"].says.startswith("second x")
    assert len(kept["worker_0"].says) == 1_000
    assert abs(kept["worker_0"].at_s - time.time()) < 60
    assert (kept["worker_0"].count, read_errors(settings)["worker_0"].count) == (2, 0)
    assert note_error(settings, "worker_0", "third").count == 1


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_completion(shell: str) -> None:
    """What is printed names the variable that click is asked with."""
    ended = CliRunner().invoke(completion, [shell])

    assert ended.exit_code == 0
    assert "_FENNEL_COMPLETE" in ended.stdout
