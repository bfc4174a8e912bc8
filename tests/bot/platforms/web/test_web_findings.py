"""Findings of the programs on a page that is not English."""

from __future__ import annotations

import ast
import tomllib
from importlib import resources
from typing import Any

import pytest

import bot.platforms.web
from bot.platforms.web.findings import in_language
from bot.platforms.web.look import Look
from bot.platforms.web.tabs.operators import OperatorsPage
from bot.platforms.web.words import LANGUAGES
from health.engine_state import EngineState
from health.surroundings import NO_WORKER, engine_finding
from pages.sentences import modules, sentences_of
from tests.bot.platforms.web.test_web_words import fields

TOLD_BY = ("bot/link.py", "cli/watchdog.py", "config/", "health/")
"""What programs say of themselves at `/readyz`, and the page shows."""
PARTS = {"Finding": slice(2, 4), "Trouble": slice(0, 2)}
"""Where in a call the sentence stands and its cure."""


def fixed_sentences() -> set[str]:
    """What programs say where something is wrong, but for commands; "…" stands for what differs."""
    found: set[str] = set()
    for file, module in modules():
        if not str(file).startswith(TOLD_BY):
            continue
        functions = [one for one in ast.walk(module) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
        constants = [one for one in module.body if isinstance(one, ast.Assign)]
        for scope in (*functions, *constants):
            for call in ast.walk(scope):
                if isinstance(call, ast.Call) and (part := PARTS.get(ast.unparse(call.func))):
                    is_well = any(isinstance(one, ast.Constant) and one.value is True for one in call.args)
                    for argument in () if is_well else call.args[part]:
                        found |= sentences_of(argument, scope)
    return {one for one in found if not one.startswith("fennel ")}


def test_every_fixed_sentence_of_a_finding_is_there_in_each_language() -> None:
    """A new finding wants its sentence in the page's other languages, too."""
    sentences = fixed_sentences()
    lacking = [
        (language, one)
        for language in LANGUAGES[1:]
        for one in sentences
        # The source's own quotes; a sentence that begins with what differs may begin with the name of the server.
        if all(in_language(way, language) == way for way in (one.replace("'", "`"), f"Redis at {one}"))
    ]

    assert len(sentences) > 25
    assert lacking == []


def test_a_sentence_keeps_what_it_names() -> None:
    """Folders, figures and commands of the English sentence stand in the other one."""
    for language in LANGUAGES[1:]:
        file = resources.files(bot.platforms.web).joinpath(f"words/findings.{language}.toml")
        for sentence, told in tomllib.loads(file.read_text(encoding="utf-8")).items():
            assert fields(sentence) == fields(told)


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("the link to slack is down", "与 slack 的连接已断开"),
        (NO_WORKER.says, "没有任何 worker 的消息，本机也没有 worker"),
        (engine_finding(EngineState("worker_0", state="stopped")).says, "worker_0 已被停止"),
        ("fennel restart worker_0", "fennel restart worker_0"),
        ("the hub is {away}", "the hub is {away}"),
    ],
)
def test_a_finding_is_told_in_chinese(sentence: str, told: str) -> None:
    """What is fixed is translated, what is not known stays."""
    assert in_language(sentence, "zh") == told
    assert in_language(sentence, "en") == sentence


class Broken:
    """Sees a stack without a worker."""

    async def now(self) -> dict[str, Any]:
        """As `health.overview.look_inside` tells it."""
        problem = {"program": "bot_web", "subject": "engine", "says": NO_WORKER.says, "cure": NO_WORKER.cure}
        return {"programs": [], "queue": None, "engines": None, "problems": [problem]}


async def test_the_page_of_operators_tells_what_is_wrong_in_its_language() -> None:
    """The same finding reads in Chinese on the one page and in English on the other."""
    pages = {language: OperatorsPage(Broken(), Look("fennel"), language) for language in LANGUAGES}  # type: ignore[arg-type]
    shown = {language: await page.now() for language, page in pages.items()}

    assert "本机也没有 worker" in shown["zh"]
    assert NO_WORKER.says not in shown["zh"]
    assert NO_WORKER.says in shown["en"]
