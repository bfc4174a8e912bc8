"""`fennel why`: what the gate saw, told days later."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cli.why import why
from config.loading import load_settings
from config.redis_clients import threads_client
from config.settings import Settings
from contract import names
from contract.answer import Outcome
from tests.valkey import ValkeyServer
from tests.workers.gates import shipped_gate
from tests.workers.passages import ShelfRetriever, passage
from tests.workers.questions import make_question
from workers.answerer import Answerer
from workers.assignment import Assignment
from workers.engine.engine import GenerationRequest
from workers.engine.generation import Generation
from workers.outbox import Outbox
from workers.pipeline import Pipeline

KEY = passage("A VPN key is valid for 90 days.", title="VPN [red]", heading=("Key",))


@pytest.fixture
def settings(tmp_path: Path, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path))
    monkeypatch.setenv("FENNEL_REDIS__URL", valkey.url)
    monkeypatch.setenv("COLUMNS", "160")
    return load_settings()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(why, arguments)


def answer(settings: Settings, text: str, heard: str = "mention") -> str:
    """Let a worker's answerer and a pipeline without an engine answer, and return the question's id."""
    connection = threads_client(settings.redis_address, 5.0, decode=False)
    question = replace(make_question(text), heard=heard)
    pipeline = Pipeline(ShelfRetriever([KEY]), shipped_gate(), settings)
    no_job: Any = None
    assignment = Assignment(no_job, no_job, question, timeout_s=60, number=1, started_at_s=time.time())
    Answerer(connection, pipeline, Outbox(connection), _no_engine, settings).answer(assignment)
    connection.close()
    return question.id


def _no_engine(request: GenerationRequest) -> Generation:
    raise AssertionError("the gate refuses before the model is asked")


def test_a_refusal_is_told_with_score_threshold_and_passages(settings: Settings) -> None:
    """Verdict, score, threshold, reasons and the passages that were found, and not a word of the question."""
    question_id = answer(settings, "Where is the zebra enclosure of Lisbon?")
    result = run(question_id)
    assert result.exit_code == 0, result.output
    for said in ("not_found", "The passages do not answer it", "threshold", "model=shipped", "VPN [red] › Key"):
        assert said in result.output
    assert "zebra" not in result.output
    body = json.loads(run(question_id, "--json").output)
    assert body["why"]["verdict"] == "not_found"
    assert body["why"]["score"] < body["why"]["min_score"]
    assert [one["source"] for one in body["why"]["passages"]] == ["docs/vpn [red].md"]


def test_reasons_live_as_long_as_the_setting_says(settings: Settings) -> None:
    """The record leaves by itself after why_ttl_s, and holds no text of the chat."""
    question_id = answer(settings, "Where is the zebra enclosure of Lisbon?")
    with threads_client(settings.redis_address, 5.0, decode=False) as connection:
        left_s = connection.ttl(names.why_key(question_id))
        wire = connection.get(names.why_key(question_id))
    assert 0 <= settings.gate.why_ttl_s - left_s < 60
    assert wire is not None
    assert b"zebra" not in wire


def test_what_was_only_overheard_needs_more(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that the gate would answer, but is not sure of, is told as one that nobody asked us."""
    monkeypatch.setattr("workers.gates.model.GateModel.judge", _nearly_sure)
    result = run(answer(settings, "How long is a VPN key valid?", heard="ambient"))
    assert "not sure enough to speak unasked" in result.output


def _nearly_sure(model: object, question: str, hits: object, vector: object) -> object:
    from workers.gates.model import GateModel, Judgement

    assert isinstance(model, GateModel)
    between = (model.min_score + model.sure_score) / 2
    return Judgement(between, {"question": 1.0, "small_talk": 0.0, "remark": 0.0}, ())


def test_an_end_without_the_gate_is_told_too(settings: Settings) -> None:
    """A question that met a full queue has no scores, but an end."""
    with threads_client(settings.redis_address, 5.0, decode=False) as connection:
        connection.hset(names.delivery_key("q-busy"), "outcome", Outcome.BUSY.value)
        connection.set(names.question_key("q-waits"), "{}")
    assert "the queue was full" in run("q-busy").output
    assert "has no end yet" in run("q-waits").output


def test_an_unknown_question_is_said_to_be_one(settings: Settings) -> None:
    """Exit code 3, and for how long such things are known."""
    result = run("q-0")
    assert result.exit_code == 3
    assert "older than 30 days" in result.output


def test_without_redis_there_is_one_sentence(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 5 and the command that starts it."""
    monkeypatch.setenv("FENNEL_REDIS__URL", "unix:///nonexistent/redis.sock")
    result = run("q-0")
    assert (result.exit_code, "fennel up" in result.output) == (5, True)
