"""What the engine's tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.sections import EngineSettings
from tests.fakes.openai.server import OpenAIServer
from tests.waiting import until
from tests.workers.engine.transformers_server import TransformersServer
from workers.engine import restarts
from workers.engine.engine import ChatTurn, GenerationRequest
from workers.engine.generation import Generation
from workers.engine.supervisor import EngineSupervisor

MakeSupervisor = Callable[..., EngineSupervisor]
LONG = "word " * 150
NOTICED_WITHIN_S = 5.0
_READY_WITHIN_S = 60.0
_TEXT_WITHIN_S = 10.0


def wait_ready(supervisor: EngineSupervisor) -> None:
    """Wait until the engine takes requests; fails where it does not in time."""
    until(lambda: supervisor.ready, _READY_WITHIN_S)


def wait_for_text(generation: Generation) -> None:
    """Wait for the first text of an answer; fails where none comes in time."""
    until(generation.text, _TEXT_WITHIN_S)


def loads(tmp_path: Path) -> list[str]:
    """The process ids of all engines that loaded their model."""
    return (tmp_path / "loads").read_text().split()


def engine_settings(**changes: object) -> EngineSettings:
    """Settings of an echo engine, with changes."""
    values: dict[str, object] = {
        "kind": "echo",
        "model": "none",
        "device": "cpu",
        "dtype": "float32",
        "threads": 1,
        "max_prompt_tokens": 400,
        "max_new_tokens": 200,
        "start_timeout_s": 60.0,
        "step_timeout_s": 30.0,
        "remote_urls": [],
        "remote_key": "",
        "remote_model": "",
        "remote_timeout_s": 20.0,
        "remote_retries": 2,
        "remote_requests_per_minute": 0,
        "remote_tokens_per_minute": 0,
        "remote_price": 0.0,
        "remote_price_new": 0.0,
        "hybrid_first": "local",
        "hybrid_in_hand": 2,
    }
    return EngineSettings.model_validate(values | changes)


def request(text: str, *, id: str = "q", max_new_tokens: int = 200, **more: float) -> GenerationRequest:  # noqa: A002
    """A request with one user turn."""
    return GenerationRequest(id, (ChatTurn("user", text),), max_new_tokens, **more)  # type: ignore[arg-type]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """A remote server."""
    server = OpenAIServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def transformers_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformersServer]:
    """A remote server of others, which takes its time to start."""
    # Here, as what makes models imports torch, and a process that must stay free of it imports this file.
    from tests.workers.engine.tiny_models import make_model

    server = TransformersServer(make_model(tmp_path_factory.mktemp("served") / "model"))
    yield server
    server.stop()


@pytest.fixture
def make_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeSupervisor]:
    """Builds supervisors with a models folder of their own and short pauses, and stops them after the test."""
    monkeypatch.setattr(restarts, "FIRST_PAUSE_S", 0.05)
    made: list[EngineSupervisor] = []

    def make(engine: str | None = None, *, slots: int = 8, **more: Any) -> EngineSupervisor:
        own = {key: more.pop(key) for key in list(more) if key.startswith(("on_", "registry"))}
        kind = {"kind": f"tests.workers.engine.engines_for_tests:{engine}"} if engine else {}
        supervisor = EngineSupervisor(engine_settings(**kind, **more), tmp_path, slots=slots, **own)
        made.append(supervisor)
        return supervisor

    yield make
    for supervisor in made:
        supervisor.stop()
