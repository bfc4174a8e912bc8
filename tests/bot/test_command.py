"""Which messages are commands, and which only look like one."""

from __future__ import annotations

import pytest

from bot.command import FOR_ADMINS, FOR_EVERYBODY, Command, command_of
from bot.phrases import LANGUAGES, phrases_of


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", [*FOR_EVERYBODY, *FOR_ADMINS])
def test_each_command_is_known_by_its_words(name: str, language: str) -> None:
    """Every word of every language is understood, however it is written, and has its line of help."""
    for word in phrases_of(language)[f"command_{name}"].split("|"):
        for text in (word, word.upper(), f" /{word}", f"{word}!", f"> quoted\n\n{word}", f"{word}。"):
            assert command_of(text) == Command(name)
    assert phrases_of(language)[f"help_{name}"]


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("limit 20", Command("limit", "20")),
        ("LIMIT Group 5", Command("limit", "group 5")),
        ("限额 本群 100", Command("limit", "本群 100")),
        ("limit off", Command("limit", "off")),
        ("kb HR-team", Command("kb", "HR-team")),
        ("知识库 人事", Command("kb", "人事")),
        ("👎 the Page is old.", Command("bad", "the Page is old.")),
        ("👍🏽", Command("good")),
        ("👍️", Command("good")),
    ],
)
def test_what_stands_behind_a_command(text: str, command: Command) -> None:
    """Some commands take a word or a reason."""
    assert command_of(text) == command


@pytest.mark.parametrize(
    "text",
    [
        "why?",
        "help me with the VPN",
        "limit of uploads",
        "limit -1",
        "kb search is slow",
        "stop the pump",
        "good morning",
        "human resources",
        "为什么没有年假",
        "",
        ">",
        "withdraw money",
        "limit 99999999",
        "kb ../../etc",
    ],
)
def test_a_question_is_no_command(text: str) -> None:
    """A message that says more than a command is asked of the documents."""
    assert command_of(text) is None


def test_who_may_look_and_who_may_change() -> None:
    """Everybody may look at the limits and the knowledge base; only admins change them."""
    assert not Command("limit").is_for_admins
    assert Command("limit", "5").is_for_admins
    assert Command("pause").is_for_admins
    assert not Command("help").is_for_admins
