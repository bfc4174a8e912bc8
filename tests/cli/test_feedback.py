"""`fennel feedback` over what a bot has written down."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from click.testing import CliRunner, Result

from bot.chat_event import FeedbackGiven
from bot.feedback import FeedbackBook
from bot.history import History
from cli import feedback as module
from config.settings import Settings
from contract.answer import FinalAnswer, Outcome
from tests.bot.answering import CITATION
from tests.bot.conftest import make_question
from tests.valkey import ValkeyServer

Run = Callable[..., Result]
MISSED = ["How do I get a parking spot?", "Where can I park my car?", "Is there parking?", "What is on the lunch menu?"]


@pytest.fixture
def run(valkey: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `fennel feedback …` against the session's server."""
    settings = Settings(home=tmp_path, redis={"url": valkey.url})
    monkeypatch.setattr(module, "load_settings", lambda: settings)

    def call(*arguments: str) -> Result:
        result = CliRunner().invoke(module.feedback, arguments)
        assert result.exception is None, result.output
        return result

    return call


async def write_down(url: str) -> None:
    """Two answers, judged, four questions in vain, and small talk."""
    async with redis.asyncio.Redis.from_url(url, decode_responses=True) as client:
        finals = [
            FinalAnswer(
                make_question(number, text=f"question {number}").to_wire(),
                Outcome.ANSWERED,
                "=1+1 thirty days",
                (CITATION,),
                total_ms=1000 * number,
                versions={"fennel": "9.9", "model": "tiny"},
            )
            for number in (1, 2)
        ]
        finals += [
            FinalAnswer(make_question(10 + at, text=text).to_wire(), Outcome.NOT_FOUND)
            for at, text in enumerate(MISSED)
        ]
        finals += [FinalAnswer(make_question(20).to_wire(), Outcome.SMALL_TALK)]
        async with client.pipeline() as step:
            for number, final in enumerate(finals):
                History(client, 90).add(step, make_question(number_of(number)), final)
            await step.execute()
        now_s = make_question().asked_at_s
        for by, verdict in (("u-ann", "bad"), ("u-bob", "good")):
            given = FeedbackGiven("chat", make_question(1).id, by, verdict, now_s, "wrong page")  # type: ignore[arg-type]
            await FeedbackBook(client, 90).note(given)


def number_of(place: int) -> int:
    """The number of the question at this place."""
    return [1, 2, 10, 11, 12, 13, 20][place]


@pytest.fixture
async def written(valkey: ValkeyServer) -> None:
    """What a bot has written down."""
    await write_down(valkey.url)


async def in_thread(call: Callable[[], Result]) -> Result:
    """The command has a loop of its own."""
    import asyncio

    return await asyncio.to_thread(call)


async def test_the_export_says_what_was_judged(run: Run, written: None) -> None:
    """Each line has question, answer, passages and what made it; a spreadsheet takes nothing of it for a formula."""
    lines = (await in_thread(lambda: run("export"))).output.splitlines()
    first: dict[str, Any] = json.loads(lines[0])
    assert len(lines) == 2
    assert first["question"] == "question 1"
    assert first["passages"][0]["quote"] == "Everybody has 30 days."
    assert first["versions"] == {"fennel": "9.9", "model": "tiny"}
    assert {json.loads(line)["verdict"] for line in lines} == {"good", "bad"}
    rows = list(csv.DictReader(io.StringIO((await in_thread(lambda: run("export", "--format", "csv"))).output)))
    assert rows[0]["answer"] == "'=1+1 thirty days"
    assert rows[0]["reason"] == "wrong page"


async def test_the_list_can_be_of_the_bad_alone(run: Run, written: None) -> None:
    """One verdict is good and one is bad."""
    assert "2 verdicts" in (await in_thread(lambda: run("list"))).output
    shown = (await in_thread(lambda: run("list", "--bad"))).output
    assert "1 verdicts" in shown
    assert "👎" in shown


async def test_the_report_counts_and_says_what_to_document_next(run: Run, written: None, tmp_path: Path) -> None:
    """Weeks, what was asked in vain by topic with the most asked first, the slowest; and a picture."""
    picture = tmp_path / "weeks.png"
    told = json.loads((await in_thread(lambda: run("report", "--json", "--plot", str(picture)))).output)
    (week,) = told["weeks"]
    counts = {key: week[key] for key in ("asked", "answered", "not_found", "good", "bad")}
    assert counts == {"asked": 6, "answered": 2, "not_found": 4, "good": 1, "bad": 1}
    assert week["slowest_s"] == 2.0
    assert sorted(told["document_next"][0]["questions"]) == sorted(MISSED[:3])
    assert [one["total_ms"] for one in told["slowest"]] == [2000, 1000]
    assert picture.read_bytes().startswith(b"\x89PNG")
    table = (await in_thread(lambda: run("report"))).output
    assert "What to document next" in table
    assert "█" in table


async def test_nothing_written_down_is_no_error(run: Run) -> None:
    """A new bot has an empty report."""
    assert "Week" in (await in_thread(lambda: run("report"))).output
    assert (await in_thread(lambda: run("export"))).output == ""
