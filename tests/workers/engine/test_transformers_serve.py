"""The engine of remote servers against one that others wrote: `transformers serve`, with a tiny model."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.engine.conftest import engine_settings, request
from tests.workers.engine.tiny_models import make_model
from workers.engine.engine import GenerationEvent, GenerationRequest
from workers.engine.engines.openai import OpenAIEngine
from workers.engine.engines.transformers import TransformersEngine

START_TIMEOUT_S = 100.0


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model that is served."""
    return make_model(tmp_path_factory.mktemp("served") / "model")


@pytest.fixture(scope="module")
def url(model_folder: Path) -> Iterator[str]:
    """The address of a running server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = model_folder.parent / "log"
    arguments = ["serve", str(model_folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-c", "from transformers.cli.transformers import main; main()", *arguments],
            env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(model_folder.parent)},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        end_s = time.monotonic() + START_TIMEOUT_S
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < end_s, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill()
        server.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):  # noqa: S310 -- an address of ours
            return True
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture
def engine(url: str, model_folder: Path, tmp_path: Path) -> Iterator[OpenAIEngine]:
    """The engine, loaded."""
    settings = engine_settings(kind="openai", remote_urls=[url], remote_model=str(model_folder))
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


def test_answers_as_the_model_does_here(engine: OpenAIEngine, model_folder: Path, tmp_path: Path) -> None:
    """The server's greedy answers, several at once, are those of the same model in this process."""
    asked = [request(words, id=words, max_new_tokens=12) for words in ("the red fox", "where is it", "one two three")]
    local = TransformersEngine(engine_settings(kind="transformers", model=str(model_folder)), tmp_path, 4)
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
