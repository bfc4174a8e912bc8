"""Remote servers that fail as they are told, and engines that ask them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.openai.server import KEY, MODEL, OpenAIServer
from tests.workers.engine.conftest import engine_settings, request
from tests.workers.engine.stepping import run, text
from workers.engine.engine import GenerationEvent
from workers.engine.engines.openai import OpenAIEngine
from workers.engine.remote import endpoints

MakeEngine = Callable[..., OpenAIEngine]
NOTHING_LISTENS = "http://127.0.0.1:9/v1"


@pytest.fixture
def other() -> Iterator[OpenAIServer]:
    """A second one."""
    server = OpenAIServer()
    yield server
    server.stop()


@pytest.fixture
def make_engine(server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeEngine]:
    """Builds loaded engines of the server; pauses between tries are short."""
    monkeypatch.setattr(endpoints, "PAUSE_S", 0.01)
    engines: list[OpenAIEngine] = []

    def make(*, slots: int = 40, load: bool = True, **changes: object) -> OpenAIEngine:
        remote: dict[str, object] = {"remote_urls": [server.url], "remote_key": KEY, "remote_model": MODEL}
        engine = OpenAIEngine(engine_settings(kind="openai", **(remote | changes)), tmp_path, slots)
        engines.append(engine)
        if load:
            engine.load(lambda what, share: None)
            server.asked.clear()
        return engine

    yield make
    for engine in engines:
        engine.close()


def last(engine: OpenAIEngine, asked: str, max_new_tokens: int = 200) -> GenerationEvent:
    """The last event of one request."""
    return run(engine, request(asked, max_new_tokens=max_new_tokens))["q"][-1]


def answer(engine: OpenAIEngine, asked: str) -> str:
    """The whole answer to one request, which must not fail."""
    events = run(engine, request(asked))["q"]
    assert events[-1].finish == "stop", events
    return text(events)
