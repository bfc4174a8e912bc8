"""The pipeline: from a question to its answer, with a real engine in this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from config.loading import load_settings
from config.settings import Settings
from contract.answer import Outcome
from contract.question import Question
from contract.turn import Turn
from tests.workers.engine_thread import EngineThread, ScriptedEngine
from tests.workers.gates import shipped_gate
from tests.workers.passages import ShelfRetriever, passage
from workers.engine.engine import Engine, EngineError, GenerationRequest
from workers.engine.engines.echo import EchoEngine
from workers.engine.generation import Generation
from workers.knowledge.passage import Passage
from workers.pipeline import Pipeline, PipelineAnswer

KEY = passage("A VPN key is valid for 90 days. The app warns you a week ahead.", title="VPN", heading=("Key",))
LUNCH = passage("Lunch is at noon in the canteen.", title="Lunch", number=2)
NIGHT = passage("夜间值班补贴每次 45 元。值班表每周二更新。", title="值班", number=3)
KEY_QUESTION = "How long is a VPN key valid?"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path))
    monkeypatch.setenv("FENNEL_ENGINE__MODEL", "some/able-model")
    monkeypatch.setenv("FENNEL_WORKER__PARTIAL_INTERVAL_S", "0.02")
    return load_settings()


@pytest.fixture
def run() -> Iterator[Callable[[Engine], EngineThread]]:
    threads: list[EngineThread] = []

    def start(engine: Engine) -> EngineThread:
        threads.append(EngineThread(engine))
        return threads[-1]

    yield start
    for thread in threads:
        thread.stop()


def question(text: str, language: str = "en") -> Question:
    return Question("q-1", "test", "t", "c", "th", "m", "u", "Asha", text, language, 0.0, 0.0)


def turn(asked: str, answered: str) -> Turn:
    return Turn("q-0", "u", "Asha", asked, answered, 0.0)


class Asked:
    """A pipeline with an engine that says given words, and what it published."""

    def __init__(self, settings: Settings, thread: EngineThread, passages: Sequence[Passage] = (KEY, LUNCH)) -> None:
        self.retriever = ShelfRetriever(passages)
        self.pipeline = Pipeline(self.retriever, shipped_gate(), settings)
        self.thread = thread
        self.published: list[str] = []

    def ask(self, text: str, language: str = "en", turns: Sequence[Turn] = ()) -> PipelineAnswer:
        """Ask one question."""
        return self.pipeline.answer(question(text, language), turns, self.thread.submit, self.published.append)


Run = Callable[[Engine], EngineThread]


def test_a_question_is_answered_with_its_source(settings: Settings, run: Run) -> None:
    """The engine's grounded text is the answer, its passage the citation with the sentence it rests on."""
    asked = Asked(settings, run(ScriptedEngine(settings.engine, "It is valid for 90 days.")))
    answer = asked.ask(KEY_QUESTION)
    assert (answer.outcome, answer.text) == (Outcome.ANSWERED, "It is valid for 90 days.")
    (citation,) = answer.citations
    assert (citation.title, citation.source) == ("VPN › Key", "docs/vpn.md")
    assert citation.quote == "A VPN key is valid for 90 days."
    assert asked.published[-1] == answer.text
    assert answer.first_text_at_s is not None


def test_the_echo_engine_answers_out_of_the_passage(settings: Settings, run: Run) -> None:
    """The prompt that the pipeline builds is one that an engine takes, with the passages in it."""
    thread = run(EchoEngine(settings.engine, Path(), 4))
    asked = Asked(settings, thread)
    answer = asked.ask(KEY_QUESTION)
    assert "valid for 90 days" in answer.text
    assert '<passage 1 title="VPN › Key">\nA VPN key' in thread.requests[0].turns[-1].content


def test_a_wrong_number_is_never_published(settings: Settings, run: Run) -> None:
    """Not for a second does an unsupported sentence show; the engine is stopped at it, and the passage is quoted."""
    said = "The app warns you. It is valid for 900 days. " + "And so on and on. " * 40
    thread = run(ScriptedEngine(settings.engine, said, delay_s=0.005))
    asked = Asked(settings, thread)
    answer = asked.ask(KEY_QUESTION)
    assert answer.text == "The app warns you.\n\n> A VPN key is valid for 90 days."
    assert not any("900" in text for text in asked.published)
    assert thread.cancelled == ["q-1"]


def test_what_was_published_is_only_added_to(settings: Settings, run: Run) -> None:
    """Each published text begins with the one before, and holds whole sentences alone."""
    said = "A VPN key is valid for 90 days. The app warns you a week ahead. Lunch is at noon. It is in the canteen."
    asked = Asked(settings, run(ScriptedEngine(settings.engine, said, delay_s=0.01)))
    answer = asked.ask(KEY_QUESTION)
    assert len(asked.published) >= 3
    for before, after in zip(asked.published, asked.published[1:], strict=False):
        assert after.startswith(before)
        assert before.endswith(".")
    assert answer.text == said
    assert [citation.source for citation in answer.citations] == ["docs/vpn.md", "docs/lunch.md"]


def test_an_answer_that_was_cut_off_loses_its_last_words(settings: Settings, run: Run) -> None:
    """At the length limit the sentence that the model could not end is not shown."""
    said = "A VPN key is valid for 90 days. " + "The app warns you a week ahead and ahead of it " * 30
    asked = Asked(settings, run(ScriptedEngine(settings.engine, said)))
    assert asked.ask(KEY_QUESTION).text == "A VPN key is valid for 90 days."


def test_what_is_not_there_is_said_without_the_model(settings: Settings, run: Run) -> None:
    """A question that no passage answers, small talk and an empty base never reach the engine."""
    thread = run(ScriptedEngine(settings.engine, "The CEO is Steve Jobs."))
    asked = Asked(settings, thread)
    assert asked.ask("Who is the chief executive?").outcome is Outcome.NOT_FOUND
    thanks = asked.ask("Thanks a lot!")
    assert (thanks.outcome, thanks.text, thanks.reason) == (Outcome.SMALL_TALK, "", "thanks")
    assert Asked(settings, thread, []).ask(KEY_QUESTION).outcome is Outcome.NOT_FOUND
    assert thread.requests == []
    assert asked.published == []


@pytest.mark.parametrize(("text", "language"), [("夜间值班补贴是多少？", "zh"), ("夜间值班补贴 45?", "en")])
def test_a_model_that_cannot_write_chinese_is_not_asked_to(
    settings: Settings, run: Run, text: str, language: str
) -> None:
    """With the bundled model a Chinese question, or a Chinese passage, is answered by the passage's own sentence."""
    small = _with(settings, model="smollm2-135m")
    thread = run(ScriptedEngine(settings.engine, "潮潮潮潮"))
    asked = Asked(small, thread, [NIGHT, KEY])
    answer = asked.ask(text, language)
    assert answer.text == "> 夜间值班补贴每次 45 元。"
    assert [citation.quote for citation in answer.citations] == ["夜间值班补贴每次 45 元。"]
    assert asked.published == [answer.text]
    assert thread.requests == []


@pytest.mark.parametrize(
    ("text", "searched"),
    [
        ("And how long before that does it warn?", [f"{KEY_QUESTION} how long before that does it warn"]),
        ("What about lunch?", [f"{KEY_QUESTION} lunch"]),
        ("When is lunch in the canteen at noon?", []),
        ("The dental plan?", [f"{KEY_QUESTION} The dental plan"]),
    ],
)
def test_a_follow_up_is_searched_for_with_the_question_before_it(
    settings: Settings, run: Run, text: str, searched: list[str]
) -> None:
    """A question that leans on the thread, or is short and finds nothing alone, takes the last one along."""
    asked = Asked(settings, run(ScriptedEngine(settings.engine, "A week ahead.")))
    asked.ask(text, turns=[turn(KEY_QUESTION, "90 days.")])
    assert asked.retriever.searched == [text, *searched]


def test_a_model_that_is_able_says_what_a_follow_up_means(settings: Settings, run: Run) -> None:
    """Where the rule is not sure the model's question is searched for; a rule that is sure asks no model."""
    thread = run(ScriptedEngine(settings.engine, "How long is a VPN key valid for contractors?"))
    asked = Asked(settings, thread)
    asked.ask("And contractors?", turns=[turn(KEY_QUESTION, "90 days.")])
    assert asked.retriever.searched == ["And contractors?", "How long is a VPN key valid for contractors?"]
    asked.ask("And in 2027?", turns=[turn("How long was a VPN key valid in 2026?", "90 days.")])
    assert asked.retriever.searched[2:] == ["And in 2027?", "How long was a VPN key valid in 2027?"]
    assert [one.id for one in thread.requests].count("q-1-whole") == 1


def test_the_thread_is_in_the_prompt(settings: Settings, run: Run) -> None:
    """The model sees what was asked and answered before."""
    thread = run(ScriptedEngine(settings.engine, "A week ahead."))
    Asked(settings, thread).ask("And when does the app warn about it?", turns=[turn(KEY_QUESTION, "90 days.")])
    assert [(one.role, one.content) for one in thread.requests[-1].turns[1:3]] == [
        ("user", KEY_QUESTION),
        ("assistant", "90 days."),
    ]


def test_a_prompt_that_is_too_long_after_all_is_made_shorter(settings: Settings, run: Run) -> None:
    """Where the tokenizer counts more than was estimated, the model is asked again with less; at last it is quoted."""
    thread = run(ScriptedEngine(settings.engine, "It is valid for 90 days.", too_long=1))
    long = passage("A VPN key is valid for 90 days. " + "The app warns you a week ahead. " * 100, title="VPN")
    assert Asked(settings, thread, [long]).ask(KEY_QUESTION).text == "It is valid for 90 days."
    first, second = thread.requests
    assert len(second.turns[-1].content) < len(first.turns[-1].content)
    never = run(ScriptedEngine(settings.engine, "It is valid for 90 days.", too_long=99))
    assert Asked(settings, never).ask(KEY_QUESTION).text.startswith("> A VPN key is valid for 90 days.")


def test_an_engine_that_fails_fails_the_question(settings: Settings, run: Run) -> None:
    """The engine's error goes to the caller, who knows whether to ask again."""
    asked = Asked(settings, run(EchoEngine(settings.engine, Path(), 4)))

    def fail(request: GenerationRequest) -> Generation:
        generation = Generation(request.id, lambda: None)
        generation.fail(EngineError("the engine is gone"))
        return generation

    with pytest.raises(EngineError, match="the engine is gone"):
        asked.pipeline.answer(question(KEY_QUESTION), [], fail, asked.published.append)


def test_a_generation_that_nobody_waits_for_any_more_is_cancelled(settings: Settings, run: Run) -> None:
    """When publishing fails, or a time limit strikes, the engine is told to stop."""
    thread = run(ScriptedEngine(settings.engine, "A VPN key is valid. " + "Lunch is at noon. " * 20, delay_s=0.01))
    asked = Asked(settings, thread)

    def break_down(text: str) -> None:
        raise ConnectionError(text)

    with pytest.raises(ConnectionError):
        asked.pipeline.answer(question(KEY_QUESTION), [], thread.submit, break_down)
    assert thread.cancelled == ["q-1"]


def test_many_questions_at_once_keep_apart(settings: Settings, run: Run) -> None:
    """Eight threads ask one pipeline, and each gets its own answer."""
    thread = run(EchoEngine(settings.engine, Path(), 8))
    asked = Asked(settings, thread)
    answers: dict[int, Any] = {}

    def ask(number: int) -> None:
        text = KEY_QUESTION if number % 2 else "When is lunch in the canteen?"
        one = Question(f"q-{number}", "test", "t", "c", "th", "m", "u", "A", text, "en", 0.0, 0.0)
        answers[number] = asked.pipeline.answer(one, [], thread.submit, lambda _: None)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert all(("90 days" if number % 2 else "noon") in answers[number].text for number in range(8))


def _with(settings: Settings, **engine: str) -> Settings:
    return settings.model_copy(update={"engine": settings.engine.model_copy(update=engine)})
