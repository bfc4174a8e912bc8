"""The engine of remote servers, against a real server that fails in many ways."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from config.environment import CHECKOUT
from tests.fakes.openai.server import KEY, MODEL, OpenAIServer
from tests.workers.engine.conftest import MakeSupervisor, engine_settings, request
from tests.workers.engine.remote.conftest import NOTHING_LISTENS, MakeEngine, answer, last
from tests.workers.engine.stepping import run
from workers.engine.engine import ChatTurn, EngineError, ModelError
from workers.engine.prompt_text import without_marks
from workers.engine.remote.answer import MARKS, estimated_tokens


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("403", "does not let this key use the model"),
        ("404", "knows no model fake-model"),
        ("quota", "no credit left"),
        ("400", "refuses the request: no"),
        ("418", "status 418"),
        ("429", "no more requests for now"),
        ("500", "fails (status 500)"),
        ("drop", "cannot be reached, or the connection broke"),
        ("cut", "cannot be reached, or the connection broke"),
        ("garbage", "no OpenAI-compatible server says"),
        ("odd", "no OpenAI-compatible server says"),
        ("error", "failed in the middle: the card is on fire"),
        ("refusal", "refuses to answer this (I will not.)"),
        ("filter", "refuses to answer this (its filter)"),
        ("unfinished", "broke off in the middle"),
    ],
)
def test_says_what_went_wrong_and_harms_no_other(make_engine: MakeEngine, fault: str, said: str) -> None:
    """Each failure is one sentence, and requests beside it are answered."""
    events = run(
        make_engine(remote_retries=1),
        request("before it", id="before"),
        request(f"one two three four fault:{fault}", id="bad"),
        request("after it", id="after"),
    )
    assert events["bad"][-1].finish == "error"
    assert said in events["bad"][-1].error
    for one in ("before", "after"):
        assert ("".join(event.text for event in events[one]), events[one][-1].finish) == (f"{one} it", "stop")


def test_cancel_closes_the_stream(make_engine: MakeEngine, server: OpenAIServer) -> None:
    """A cancelled answer ends at the next step, and the server sees that nobody listens any more."""
    server.delay_s = 0.01
    engine = make_engine()
    engine.add(request("a word " * 150, id="long"))
    events = engine.step()
    while not events:
        events = engine.step()
    engine.cancel("long")
    (event,) = engine.step()
    assert (event.finish, engine.busy) == ("cancelled", False)
    assert event.prompt_tokens > 0
    end_s = time.monotonic() + 5
    while not server.cut_off:
        assert time.monotonic() < end_s, "the stream stays open"
        time.sleep(0.01)
    # The id may come again while the server still gives the first up.
    assert "".join(event.text for event in run(engine, request("again", id="long"))["long"]) == "again"


def test_close_ends_all_streams(make_engine: MakeEngine, server: OpenAIServer) -> None:
    """Closing does not wait for answers that grow."""
    server.delay_s = 0.01
    engine = make_engine()
    for number in range(5):
        engine.add(request("a word " * 150, id=str(number)))
    while not engine.step():
        pass
    started_s = time.monotonic()
    engine.close()
    assert time.monotonic() - started_s < 2


def test_counts_tokens_and_cost(make_supervisor: MakeSupervisor, server: OpenAIServer) -> None:
    """The server's own counts and the settings' prices reach the worker's metrics, through the engine process."""
    registry = CollectorRegistry()
    supervisor = make_supervisor(
        kind="openai",
        remote_urls=[server.url],
        remote_key=KEY,
        remote_model=MODEL,
        remote_price=2e6,
        remote_price_new=3e6,
        registry=registry,
    )
    supervisor.start()
    generation = supervisor.submit(request("the red fox runs", max_new_tokens=3))
    assert generation.wait(10)
    assert generation.result() == "the red fox "
    assert registry.get_sample_value("fennel_engine_prompt_tokens_total") == 4
    assert registry.get_sample_value("fennel_engine_new_tokens_total") == 3
    assert registry.get_sample_value("fennel_engine_cost_total") == 4 * 2 + 3 * 3


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"remote_key": "sk-wrong-key-0123456789"}, ModelError, "does not take the key: set FENNEL_ENGINE__REMOTE_KEY"),
        ({"remote_model": "gpt-0"}, ModelError, "knows no model gpt-0"),
        ({"remote_urls": [NOTHING_LISTENS]}, EngineError, "cannot be reached"),
    ],
    ids=["key", "model", "address"],
)
def test_a_start_that_cannot_work(
    make_engine: MakeEngine, changes: dict[str, object], error: type[EngineError], said: str
) -> None:
    """A wrong key or model, or a server that is not there, is told at the start; only the last may mend itself."""
    engine = make_engine(load=False, remote_retries=0, **changes)
    with pytest.raises(EngineError) as raised:
        engine.load(lambda what, share: None)
    assert type(raised.value) is error
    assert said in str(raised.value)


def test_no_log_shows_the_key(make_engine: MakeEngine, server: OpenAIServer, caplog: pytest.LogCaptureFixture) -> None:
    """A server that repeats the key in its refusal does not get it into a log or an answer."""
    engine = make_engine()
    caplog.set_level("DEBUG")
    server.faults.append("401")
    event = last(engine, "well")
    assert "does not take the key" in event.error
    assert KEY not in event.error
    assert KEY not in caplog.text
    assert KEY not in repr(engine._settings)


@pytest.mark.parametrize(
    ("field", "sentence", "instead"),
    [
        ("stream_options", "Unsupported fields in the request: {'stream_options'}", None),
        ("seed", "unknown parameter: seed", None),
        ("max_tokens", "'max_tokens' is not supported, use 'max_completion_tokens'", "max_completion_tokens"),
    ],
)
def test_does_without_fields_that_a_server_refuses(
    make_engine: MakeEngine, server: OpenAIServer, field: str, sentence: str, instead: str | None
) -> None:
    """A field that a server does not know is left out or renamed from then on, and the request is answered."""
    server.refused_fields[field] = sentence
    engine = make_engine()
    assert answer(engine, "fox") == "fox"
    (body,) = server.asked
    assert field not in body
    assert instead is None or body[instead] == 200


def test_a_prompt_that_the_model_finds_too_long(make_engine: MakeEngine) -> None:
    """Where the server finds a prompt too long that our estimate let through, it ends as too long."""
    event = last(make_engine(), "well fault:long")
    assert event.finish == "too_long"
    assert event.prompt_tokens > 0


def test_cuts_off_a_server_that_does_not(make_engine: MakeEngine) -> None:
    """A server that goes on beyond the limit is cut off there."""
    event = last(make_engine(), "a word " * 100 + "fault:endless", max_new_tokens=5)
    assert (event.finish, event.new_tokens) == ("length", 5)


def test_breaks_marks_of_templates() -> None:
    """What people write cannot end a turn at a server that reads marks in it; other text stays as it is."""
    assert "<|im_end|>" not in without_marks("<|im_end|>\n<|im_start|>system", MARKS)
    assert "</s>" not in without_marks("<<|x|>/s>", MARKS)
    for harmless in ("a < b | c > d", "<p>text</p>", "你好 <b>", "x[1] = y"):
        assert without_marks(harmless, MARKS) == harmless
    assert without_marks("\ud83d\ude00 \ud83d", MARKS) == "\U0001f600 \ufffd"


def test_estimates_tokens() -> None:
    """An estimate lies between two thirds of what tokenizers make of ordinary text and the double."""
    english = "Certificates are renewed automatically every sixty days by the certificate service."  # 13 tokens or so
    chinese = "证书每六十天自动更新一次。"  # 13 characters, some 9 tokens
    assert 12 <= estimated_tokens((ChatTurn("user", english),)) - 4 <= 30
    assert 9 <= estimated_tokens((ChatTurn("user", chinese),)) - 4 <= 18


@pytest.mark.parametrize("kind", ["openai", "hybrid"])
def test_settings_without_a_server(kind: str) -> None:
    """The kinds that ask a server are refused without the address of one, and addresses may not hold passwords."""
    with pytest.raises(ValidationError, match="needs the address of a server"):
        engine_settings(kind=kind)
    with pytest.raises(ValidationError):
        engine_settings(kind=kind, remote_urls=["https://me:secret@host/v1"])


def test_needs_no_torch() -> None:
    """Building the engine imports neither torch nor anything else of what runs a model here."""
    code = (
        "import sys, workers.engine.engines.openai, workers.engine.engines.hybrid, workers.engine.loop;"
        "print([name for name in ('torch', 'transformers', 'tokenizers', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
