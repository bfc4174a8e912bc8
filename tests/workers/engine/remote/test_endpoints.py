"""How remote servers are asked: tried again, one after another, and no oftener than they take."""

from __future__ import annotations

import time

import pytest
from aiolimiter import AsyncLimiter

from tests.fakes.openai.server import OpenAIServer
from tests.workers.engine.conftest import request
from tests.workers.engine.remote.conftest import NOTHING_LISTENS, MakeEngine, answer, last
from tests.workers.engine.stepping import run
from workers.engine.remote import endpoints


@pytest.mark.parametrize("fault", ["hang", "stall"])
def test_gives_a_silent_server_up(make_engine: MakeEngine, fault: str) -> None:
    """A server that says nothing any more, before its first text or behind it, has failed after the time-out."""
    event = last(make_engine(remote_timeout_s=0.2, remote_retries=0), f"one two three fault:{fault}")
    assert event.finish == "error"
    assert "said nothing for 0.2 s" in event.error


@pytest.mark.parametrize("fault", ["429", "429:0.05", "500", "503:0.05", "drop"])
def test_tries_again_before_the_first_text(make_engine: MakeEngine, server: OpenAIServer, fault: str) -> None:
    """What fails before its first text is tried again, and is answered as if nothing had been."""
    engine = make_engine(remote_retries=2)
    server.faults.extend([fault, fault])
    assert answer(engine, "well") == "well"
    assert len(server.asked) == 3


@pytest.mark.parametrize("fault", ["cut", "error", "unfinished"])
def test_never_tries_again_behind_the_first_text(make_engine: MakeEngine, server: OpenAIServer, fault: str) -> None:
    """What fails in the middle fails: a second try would write another answer behind what was shown."""
    engine = make_engine(remote_retries=5)
    events = run(engine, request(f"one two three four fault:{fault}"))["q"]
    assert "".join(event.text for event in events).startswith("one two ")
    assert events[-1].finish == "error"
    assert len(server.asked) == 1


def test_waits_as_long_as_the_server_wants(make_engine: MakeEngine, server: OpenAIServer) -> None:
    """Retry-After is a pause's least length."""
    engine = make_engine()
    server.faults.append("429:0.4")
    started_s = time.monotonic()
    assert last(engine, "well").finish == "stop"
    assert time.monotonic() - started_s >= 0.4


def test_fails_over_to_another_server(make_engine: MakeEngine, server: OpenAIServer, other: OpenAIServer) -> None:
    """What one server fails at, the next answers at once; the failed one is left alone for a while."""
    engine = make_engine(remote_urls=[server.url, other.url], remote_retries=1)
    server.faults.append("500")
    assert [answer(engine, asked) for asked in ("well", "then")] == ["well", "then"]
    assert (len(server.asked), len(other.asked)) == (1, 2)


def test_fails_over_from_a_server_that_is_gone(
    make_engine: MakeEngine, server: OpenAIServer, other: OpenAIServer
) -> None:
    """Servers that are stopped, or do not know the key or the model, are no harm while one of them answers."""
    engine = make_engine(remote_urls=[NOTHING_LISTENS, server.url, other.url], remote_retries=2)
    server.stop()
    events = run(engine, *(request("well", id=str(n)) for n in range(9)))
    assert [events[str(n)][-1].finish for n in range(9)] == ["stop"] * 9
    other.faults.append("404")
    assert last(engine, "well").finish == "error"


def test_no_more_at_once_than_places(make_engine: MakeEngine, server: OpenAIServer) -> None:
    """Requests beyond the places wait here and not at the server."""
    engine = make_engine(slots=3)
    events = run(engine, *(request(f"question {n} " * 5, id=str(n)) for n in range(12)))
    assert {one[-1].finish for one in events.values()} == {"stop"}
    assert server.most_at_once == 3


@pytest.mark.parametrize(
    "limits",
    [{"remote_requests_per_minute": 300}, {"remote_tokens_per_minute": 4500}],
    ids=["requests", "tokens"],
)
def test_keeps_rate_limits(
    make_engine: MakeEngine, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, limits: dict[str, object]
) -> None:
    """Requests over a rate wait until it lets them through; a cancelled one is never sent."""
    # The bucket holds a minute's worth. Here a minute has two tenths of a second, and the bucket that of one request.
    monkeypatch.setattr(endpoints, "_limiter", lambda rate: AsyncLimiter(rate / 300, 0.2) if rate else None)
    engine = make_engine(load=False, **limits)
    engine._start()
    started_s = time.monotonic()
    events = run(engine, *(request(f"question {n}", id=str(n), max_new_tokens=50) for n in range(4)))
    assert time.monotonic() - started_s >= 0.6
    assert {one[-1].finish for one in events.values()} == {"stop"}
    for number in range(4):
        engine.add(request("x", id=str(number)))
    engine.cancel("3")
    run(engine)
    assert len(server.asked) == 7
