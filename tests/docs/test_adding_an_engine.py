"""docs/adding-an-engine.md, followed to the letter: one file, and the worker answers with it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workers.engine.engines
from tests.docs.pages import DOCS, blocks
from tests.workers.engine.conftest import engine_settings, request
from workers.engine.engine import Engine, GenerationEvent
from workers.engine.supervisor import EngineSupervisor

TITLE = "workers/engine/engines/quote.py"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """The page's engine out of the page's file, loaded."""
    (block,) = [one.body for one in blocks(DOCS / "adding-an-engine.md") if one.title == TITLE]
    (tmp_path / "quote.py").write_text(block)
    workers.engine.engines.__path__.append(str(tmp_path))
    module: Any = importlib.import_module("workers.engine.engines.quote")
    made: Engine = module.QuoteEngine(engine_settings(max_prompt_tokens=64), tmp_path, 2)
    made.load(lambda what, share: None)
    yield made
    workers.engine.engines.__path__.pop()
    del sys.modules["workers.engine.engines.quote"]


def run(engine: Engine) -> dict[str, list[GenerationEvent]]:
    """Step until nothing is left; the events of each request."""
    events: dict[str, list[GenerationEvent]] = {}
    while engine.busy:
        for event in engine.step():
            events.setdefault(event.id, []).append(event)
    return events


def test_the_page_s_engine_answers_many_at_once(engine: Engine) -> None:
    """More prompts than slots are all answered, each with its own first sentence, and each ends once."""
    for number in range(5):
        engine.add(request(f"Sentence number {number}. And another one.", id=f"r{number}"))
    events = run(engine)

    assert {one: "".join(event.text for event in all_) for one, all_ in events.items()} == {
        f"r{number}": f"Sentence number {number}." for number in range(5)
    }
    assert [[event.finish for event in all_ if event.finish] for all_ in events.values()] == [["stop"]] * 5


def test_what_is_bad_or_cancelled_ends_and_harms_nobody(engine: Engine) -> None:
    """A prompt that is empty, too long or given up ends with its reason; a neighbour is answered."""
    for name, text in (("empty", " "), ("long", "word " * 90), ("given-up", "One two three."), ("good", "Yes. No.")):
        engine.add(request(text, id=name))
    engine.cancel("given-up")
    ends = {name: events[-1].finish for name, events in run(engine).items()}

    assert ends == {"empty": "error", "long": "too_long", "given-up": "cancelled", "good": "stop"}


def test_the_setting_of_the_page_names_an_engine(tmp_path: Path) -> None:
    """`engine.kind` takes the place where an engine stands; the worker starts it in a process and is answered."""
    kind = "workers.engine.engines.echo:EchoEngine"
    (said,) = [one.body for one in blocks(DOCS / "adding-an-engine.md") if one.body.startswith("FENNEL_ENGINE__KIND=")]
    supervisor = EngineSupervisor(engine_settings(kind=kind), tmp_path, slots=2)

    assert said.strip() == "FENNEL_ENGINE__KIND=workers.engine.engines.quote:QuoteEngine"
    supervisor.start()
    try:
        assert supervisor.wait_ready(60.0)
        generation = supervisor.submit(request("Yes."))
        assert generation.wait(60.0)
        assert generation.result() == "Yes."
    finally:
        supervisor.stop()
