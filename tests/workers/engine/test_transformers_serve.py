"""The engine of remote servers against one that others wrote: `transformers serve`, with a tiny model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.engine.conftest import engine_settings, request
from tests.workers.engine.transformers_server import TransformersServer
from workers.engine.engine import GenerationEvent, GenerationRequest
from workers.engine.engines.openai import OpenAIEngine
from workers.engine.engines.transformers import TransformersEngine

pytestmark = pytest.mark.timeout(300)  # the server takes its time to start


@pytest.fixture
def engine(transformers_server: TransformersServer, tmp_path: Path) -> Iterator[OpenAIEngine]:
    """The engine, loaded."""
    settings = engine_settings(
        kind="openai", remote_urls=[transformers_server.url], remote_model=transformers_server.model
    )
    engine = OpenAIEngine(settings, tmp_path, 4)
    engine.load(lambda what, share: None)
    yield engine
    engine.close()


def run(engine: OpenAIEngine | TransformersEngine, *requests: GenerationRequest) -> dict[str, list[GenerationEvent]]:
    events: dict[str, list[GenerationEvent]] = {}
    for one in requests:
        engine.add(one)
    while engine.busy:
        for event in engine.step():
            events.setdefault(event.id, []).append(event)
    return events


def test_answers_as_the_model_does_here(
    engine: OpenAIEngine, transformers_server: TransformersServer, tmp_path: Path
) -> None:
    """The server's greedy answers, several at once, are those of the same model in this process."""
    asked = [request(words, id=words, max_new_tokens=12) for words in ("the red fox", "where is it", "one two three")]
    local = TransformersEngine(engine_settings(kind="transformers", model=transformers_server.model), tmp_path, 4)
    local.load(lambda what, share: None)
    expected = run(local, *asked)
    for one, events in run(engine, *asked).items():
        assert "".join(event.text for event in events) == "".join(event.text for event in expected[one])
        assert events[-1].finish in ("stop", "length")
        assert events[-1].prompt_tokens > 0


def test_cancels_and_goes_on(engine: OpenAIEngine) -> None:
    """An answer that is given up in the middle leaves the server fit for the next."""
    engine.add(request("the red fox", id="long", max_new_tokens=200))
    while not engine.step():
        pass
    engine.cancel("long")
    events = run(engine, request("well", id="next", max_new_tokens=3))
    assert [event.finish for event in events["long"]] == ["cancelled"]
    assert events["next"][-1].finish in ("stop", "length")
