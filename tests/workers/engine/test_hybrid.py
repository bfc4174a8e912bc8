"""Two engines as one: who answers what, and what becomes of the other's failures."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.openai.server import KEY, MODEL, OpenAIServer
from tests.workers.engine.conftest import MakeSupervisor, engine_settings, request
from tests.workers.engine.stepping import Events, run, text
from tests.workers.engine.tiny_models import make_model
from workers.engine.engine import GenerationRequest
from workers.engine.engines.echo import EchoEngine
from workers.engine.engines.hybrid import HybridEngine
from workers.engine.remote import endpoints

MakeEngine = Callable[..., HybridEngine]


@pytest.fixture
def make_engine(server: OpenAIServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeEngine]:
    """Builds loaded engines whose local half is echo."""
    monkeypatch.setattr(endpoints, "PAUSE_S", 0.01)
    engines: list[HybridEngine] = []

    def make(**changes: object) -> HybridEngine:
        remote: dict[str, object] = {"remote_urls": [server.url], "remote_key": KEY, "remote_model": MODEL}
        settings = engine_settings(kind="hybrid", **(remote | changes))
        engine = HybridEngine(settings, tmp_path, 8, make_local=EchoEngine)
        engines.append(engine)
        engine.load(lambda what, share: None)
        server.asked.clear()
        return engine

    yield make
    for engine in engines:
        engine.close()


def answers(events: Events) -> dict[str, str]:
    """The texts, all of which must have come to their end."""
    assert {ended[-1].finish for ended in events.values()} == {"stop"}
    return {one: text(ended) for one, ended in events.items()}


def eight() -> list[GenerationRequest]:
    return [request(f"question number {n}", id=str(n)) for n in range(8)]


@pytest.mark.parametrize(("first", "at_server"), [("local", 6), ("remote", 2)])
def test_the_other_takes_what_is_too_much(
    make_engine: MakeEngine, server: OpenAIServer, first: str, at_server: int
) -> None:
    """With two in hand the first leaves the rest to the other; when it has answered, it takes new ones again."""
    engine = make_engine(hybrid_first=first, hybrid_in_hand=2)
    for _ in range(2):
        server.asked.clear()
        assert answers(run(engine, *eight())) == {str(n): f"question number {n}" for n in range(8)}
        assert len(server.asked) == at_server


@pytest.mark.parametrize("first", ["local", "remote"])
def test_without_a_server(make_engine: MakeEngine, server: OpenAIServer, first: str) -> None:
    """A server that is gone, from the start or later, costs no answer."""
    engine = make_engine(hybrid_first=first, remote_retries=0)
    server.stop()
    assert len(answers(run(engine, *eight()))) == 8
    assert len(answers(run(make_engine(hybrid_first=first, remote_retries=0), *eight()))) == 8


def test_a_failure_behind_the_first_text_stays_one(make_engine: MakeEngine) -> None:
    """What has been shown of a remote answer is not followed by a local one."""
    events = run(make_engine(hybrid_first="remote"), request("one two three four fault:cut"))["q"]
    assert events[-1].finish == "error"
    assert "".join(event.text for event in events).count("one") == 1


@pytest.mark.parametrize("first", ["local", "remote"])
def test_cancels_wherever_it_is(make_engine: MakeEngine, server: OpenAIServer, first: str) -> None:
    """A cancelled request ends at the next step on either side, and its place is free again."""
    server.delay_s = 0.01
    engine = make_engine(hybrid_first=first, hybrid_in_hand=1)
    for number in range(2):
        engine.add(request("a word " * 60, id=str(number)))
    engine.step()
    for number in range(2):
        engine.cancel(str(number))
    assert {(event.id, event.finish) for event in engine.step()} == {("0", "cancelled"), ("1", "cancelled")}
    assert not engine.busy
    server.asked.clear()
    assert answers(run(engine, request("well"))) == {"q": "well"}
    assert len(server.asked) == (first == "remote")


def test_in_the_engine_process(make_supervisor: MakeSupervisor, server: OpenAIServer, tmp_path: Path) -> None:
    """With a model of this machine for its local half it answers through its process, some here and some there."""
    supervisor = make_supervisor(
        kind="hybrid",
        model=str(make_model(tmp_path / "model")),
        remote_urls=[server.url],
        remote_key=KEY,
        remote_model=MODEL,
        hybrid_in_hand=1,
    )
    supervisor.start()
    server.asked.clear()
    generations = [supervisor.submit(request("the red fox", id=str(n), max_new_tokens=50)) for n in range(4)]
    for generation in generations:
        assert generation.wait(30)
        assert generation.result()
    texts = {generation.result() for generation in generations}
    assert "the red fox" in texts
    assert len(texts) == 2
    assert len(server.asked) >= 1
