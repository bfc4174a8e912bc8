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
from tests.workers.engine import test_engines
from tests.workers.engine.conftest import engine_settings, request
from tests.workers.engine.stepping import run, text
from tests.workers.engine.test_engines import MakeEngine
from workers.engine.engine import Engine
from workers.engine.supervisor import EngineSupervisor

TITLE = "workers/engine/engines/quote.py"


# What every engine promises, tried on the page's. Only those whose answers can fail in the middle have a test of that.
SUITE = {
    name: test
    for name, test in vars(test_engines).items()
    if name.startswith("test_") and name != "test_a_failure_in_the_middle_harms_no_other"
}
globals().update(SUITE)


@pytest.fixture
def quote(tmp_path: Path) -> Iterator[Any]:
    """The page's module, out of the page's file."""
    (block,) = [one.body for one in blocks(DOCS / "adding-an-engine.md") if one.title == TITLE]
    (tmp_path / "quote.py").write_text(block)
    workers.engine.engines.__path__.append(str(tmp_path))
    yield importlib.import_module("workers.engine.engines.quote")
    workers.engine.engines.__path__.pop()
    del sys.modules["workers.engine.engines.quote"]


@pytest.fixture
def kind() -> str:
    """In place of the suite's kinds."""
    return "quote"


@pytest.fixture
def make_engine(quote: Any, tmp_path: Path) -> MakeEngine:
    """In place of the suite's: builds the page's engine, loaded."""

    def make(*, slots: int = 4, **changes: object) -> Engine:
        engine: Engine = quote.QuoteEngine(engine_settings(**changes), tmp_path, slots)
        engine.load(lambda what, share: None)
        return engine

    return make


@pytest.fixture
def engine(make_engine: MakeEngine) -> Engine:
    """The page's engine with two places and short prompts."""
    return make_engine(slots=2, max_prompt_tokens=64)


def test_the_page_s_engine_answers_many_at_once(engine: Engine) -> None:
    """More prompts than slots are all answered, each with its own first sentence, and each ends once."""
    events = run(
        engine, *(request(f"Sentence number {number}. And another one.", id=f"r{number}") for number in range(5))
    )

    assert {one: text(all_) for one, all_ in events.items()} == {
        f"r{number}": f"Sentence number {number}." for number in range(5)
    }
    assert [[event.finish for event in all_ if event.finish] for all_ in events.values()] == [["stop"]] * 5


def test_what_is_bad_or_cancelled_ends_and_harms_nobody(engine: Engine) -> None:
    """A prompt that is empty, too long or given up ends with its reason; a neighbour is answered."""
    for name, words in (("empty", " "), ("long", "word " * 90), ("given-up", "One two three."), ("good", "Yes. No.")):
        engine.add(request(words, id=name))
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
        generation = supervisor.submit(request("Yes."))
        assert generation.wait(60.0)
        assert generation.result() == "Yes."
    finally:
        supervisor.stop()
