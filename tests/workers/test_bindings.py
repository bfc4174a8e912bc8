"""Bindings: a channel sees the knowledge bases that it is bound to, and nothing of any other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from config.loading import load_settings
from config.settings import Settings
from contract import names
from contract.answer import Outcome
from contract.question import Question
from tests.valkey import ValkeyServer
from tests.workers.gates import shipped_gate
from tests.workers.knowledge.base import files_below
from workers.engine.engine import GenerationRequest
from workers.engine.generation import Generation
from workers.gates.learned import GateModels, LearnedGate
from workers.gates.model import SHIPPED_FILE
from workers.knowledge.bindings import Bindings
from workers.knowledge.document import KnowledgeError
from workers.knowledge.embedder import open_embedder
from workers.knowledge.ingest import Ingest
from workers.knowledge.retrievers.hybrid import HybridRetriever
from workers.knowledge.stores.embedded import EmbeddedStore
from workers.pipeline import Pipeline, PipelineAnswer

PAGES = {
    "default": "# 食堂\n\n## 午餐\n\n食堂中午十二点开饭。\n",
    "hr": "# 薪酬\n\n## 奖金\n\n经理的年终奖金是三个月工资。\n",
    "support": "# 客服\n\n## 退款\n\n客户的退款七天之内到账。\n",
}
BONUS, LUNCH, REFUND = "经理的年终奖金是多少？", "食堂中午几点开饭？", "客户的退款几天到账？"


@pytest.fixture
def connection(valkey: ValkeyServer) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(valkey.url)
    yield client
    client.close()


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> HybridRetriever:
    folder = tmp_path_factory.mktemp("kb")
    embedder = open_embedder("use-multilingual")
    store = EmbeddedStore(folder / "index.sqlite3", embedder.id, embedder.dimensions)
    for base, page in PAGES.items():
        (folder / f"{base}.md").write_text(page, encoding="utf-8")
        Ingest(store, embedder, max_file_mb=1, passage_tokens=200, base=base).add_all(
            files_below([folder / f"{base}.md"])
        )
    return HybridRetriever(store, embedder)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path))
    return load_settings()


def ask(pipeline: Pipeline, text: str, channel: str) -> PipelineAnswer:
    question = Question("q-1", "slack", "T1", channel, "th", "m", "u", "Asha", text, "zh", 0.0, 0.0)
    return pipeline.answer(question, (), _no_engine, lambda _: None)


def seen(answer: PipelineAnswer) -> set[str]:
    """The bases of the documents that the pipeline found anything in, cited or not."""
    cited = {Path(citation.source).stem for citation in answer.citations}
    return cited | {Path(passage.source).stem for passage in answer.why.passages}


def test_a_channel_sees_its_bases_alone(
    connection: redis.Redis, retriever: HybridRetriever, settings: Settings
) -> None:
    """What stands in another base is not found, whatever is asked; a channel that is not bound sees the default one."""
    bindings = Bindings(connection)
    pipeline = Pipeline(retriever, shipped_gate(), settings, bindings.bases_of)
    bindings.bind("slack:T1:hr", ["hr"])
    bindings.bind("slack:T1:both", ["support", "default"])
    may_see = {"hr": {"hr"}, "both": {"support", "default"}, "other": {"default"}}
    for channel, bases in may_see.items():
        for text, base in ((BONUS, "hr"), (LUNCH, "default"), (REFUND, "support")):
            answer = ask(pipeline, text, channel)
            assert seen(answer) <= bases, (channel, text)
            assert (answer.outcome is Outcome.ANSWERED) == (base in bases), (channel, text)


def test_a_binding_holds_from_the_next_question_on(
    connection: redis.Redis, retriever: HybridRetriever, settings: Settings
) -> None:
    """A worker needs no restart to see a channel bound, bound otherwise, and unbound; other tenants are not touched."""
    bindings = Bindings(connection)
    pipeline = Pipeline(retriever, shipped_gate(), settings, bindings.bases_of)
    assert ask(pipeline, BONUS, "C1").outcome is Outcome.NOT_FOUND
    bindings.bind("slack:T1:C1", ["hr", "hr"])
    bindings.bind("slack:T2:C1", ["support"])
    assert ask(pipeline, BONUS, "C1").outcome is Outcome.ANSWERED
    assert bindings.all() == {"slack:T1:C1": ("hr",), "slack:T2:C1": ("support",)}
    assert bindings.unbind("slack:T1:C1")
    assert not bindings.unbind("slack:T1:C1")
    assert ask(pipeline, BONUS, "C1").outcome is Outcome.NOT_FOUND


def test_a_base_that_is_not_there_shows_nothing(
    connection: redis.Redis, retriever: HybridRetriever, settings: Settings
) -> None:
    """A channel that is bound to a base without documents does not fall back to the default one."""
    bindings = Bindings(connection)
    bindings.bind("slack:T1:C1", ["nothing-yet"])
    answer = ask(Pipeline(retriever, shipped_gate(), settings, bindings.bases_of), LUNCH, "C1")
    assert (answer.outcome, seen(answer)) == (Outcome.NOT_FOUND, set())


@pytest.mark.parametrize("written", [b"rubbish", b"[]", b"[1]", b'"hr"', b"null"])
def test_a_binding_that_cannot_be_read_shows_nothing(connection: redis.Redis, written: bytes) -> None:
    """Nobody guesses what a channel may see: the question fails with words."""
    connection.hset(names.bindings_key(), "slack:T1:C1", written)
    with pytest.raises(KnowledgeError, match=r"the binding of slack:T1:C1 cannot be read"):
        Bindings(connection).bases_of("slack:T1:C1")


@pytest.mark.parametrize(
    ("channel", "bases", "sentence"),
    [
        ("C1", ["hr"], "is no channel: PLATFORM:TENANT:CHANNEL"),
        ("slack:T1", ["hr"], "is no channel"),
        ("slack:T1:C1", [], "bound to one base at least"),
        ("slack:T1:C1", ["../hr"], "a knowledge base cannot be called '../hr'"),
    ],
)
def test_wrong_bindings_are_refused(connection: redis.Redis, channel: str, bases: list[str], sentence: str) -> None:
    """A channel or a base that cannot be is named, and nothing is bound."""
    with pytest.raises(KnowledgeError, match=sentence):
        Bindings(connection).bind(channel, bases)
    assert Bindings(connection).all() == {}


def _no_engine(_: GenerationRequest) -> Generation:
    raise AssertionError("the small model writes no Chinese: passages are quoted")


def test_a_tuned_base_is_judged_by_its_own_model(
    connection: redis.Redis, retriever: HybridRetriever, settings: Settings, tmp_path: Path
) -> None:
    """What a team tuned for its base decides in the channels that see it, and in no others."""
    strict = json.loads(SHIPPED_FILE.read_text()) | {"min_score": 1.0}
    (tmp_path / "hr.json").write_text(json.dumps(strict))
    embedder = open_embedder("use-multilingual")
    gate = LearnedGate(GateModels(tmp_path), embedder, embedder.id)
    bindings = Bindings(connection)
    bindings.bind("slack:T1:hr", ["hr"])
    bindings.bind("slack:T1:support", ["support"])
    pipeline = Pipeline(retriever, gate, settings, bindings.bases_of)
    assert ask(pipeline, BONUS, "hr").outcome is Outcome.NOT_FOUND
    assert ask(pipeline, REFUND, "support").outcome is Outcome.ANSWERED
