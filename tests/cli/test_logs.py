"""What the programs write while a question goes its whole way."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from tests.cli.stack_home import stack_home
from tests.fakes.slack import FakeSlack

ASKED = "How many zebraquartz days does Rosalindfranklin have?"
DOCUMENT = "# Zebraquartz\n\nEverybody has 30 zebraquartz days a year, Rosalindfranklin has 31.\n"
WORDS = ("zebraquartz", "Zebraquartz", "Rosalindfranklin")
"""Of the question, the document and the answer alike."""
PASSWORD = "planted-dashboard-password"
WITHIN_S = 40.0


def wait_for(look: Callable[[], object]) -> None:
    end_s = time.monotonic() + WITHIN_S
    while not look():
        assert time.monotonic() < end_s, "it did not come to that in time"
        time.sleep(0.1)


def test_no_log_has_chat_text_or_a_secret_and_each_line_of_a_question_has_its_id() -> None:
    """A question from Slack is answered by real programs that log at info: ids stand in the logs, words do not."""
    with FakeSlack(enforce_rates=False) as fake:
        settings = {**fake.urls(), "FENNEL_LOG__FORMAT": "json", "FENNEL_DASHBOARD__PASSWORD": PASSWORD}
        with stack_home(**settings, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1") as home:
            (home.folder / "days.md").write_text(DOCUMENT)
            assert home.fennel("kb", "add", str(home.folder / "days.md")).returncode == 0
            started = home.fennel("up", "--wait")
            assert started.returncode == 0, started.stderr
            fake.wait_for(lambda: fake.connected() == 1, WITHIN_S)
            asked = fake.happen("app_mention", text=ASKED)
            wait_for(lambda: any("31" in one.shown for one in fake.answers(asked["channel"], asked["ts"])))
            wait_for(lambda: "shown" in (home.home / "logs" / "bot_slack.log").read_text())
            logs = {file.name: file.read_text() for file in (home.home / "logs").iterdir()}
            written = [file for file in (home.home / "run" / "health").iterdir() if file.is_file()]
            logs |= {file.name: file.read_text() for file in written}

    secrets = [value for name, value in settings.items() if name.endswith(("TOKEN", "SECRET", "PASSWORD"))]
    assert len(secrets) == 4
    found = [(name, word) for name, text in logs.items() for word in (*WORDS, *secrets) if word in text]
    assert found == []

    def events(name: str) -> dict[str, str]:
        lines = [json.loads(line) for line in logs[name].splitlines() if line.startswith("{")]
        return {line["event"]: line["question"] for line in lines if "question" in line}

    bot, worker = events("bot_slack.log"), events("worker_0.log")
    assert {"taken in", "shown"} <= set(bot)
    assert "a question was answered" in worker
    assert len({*bot.values(), *worker.values()}) == 1
