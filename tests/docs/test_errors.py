"""What can go wrong is listed: the tree of errors, and of each the cause and the cure."""

from __future__ import annotations

import re
import tomllib

import pytest
import yaml  # type: ignore[import-untyped]

import contract.errors
from config.environment import CHECKOUT
from config.settings_error import SettingsError
from contract.answer import Outcome
from contract.errors import FennelError
from pages.errors import error_classes
from tests.docs.pages import DOCS

BRANCH = re.compile(r"^(?P<indent>[│ ]*)[├└]── (?P<name>\w+)", re.MULTILINE)
SECTION = re.compile(r"^### (?P<code>[a-z-]+)\n(?P<text>.*?)(?=^##|\Z)", re.DOTALL | re.MULTILINE)
# Sentences that are no error: what the bot says while all goes well.
WELL = {Outcome.ANSWERED, Outcome.SMALL_TALK, Outcome.TOLD}


def sections() -> dict[str, str]:
    """What docs/errors.md says below each code."""
    return {found["code"]: found["text"] for found in SECTION.finditer((DOCS / "errors.md").read_text())}


def test_the_tree_of_errors_is_the_one_that_is_drawn() -> None:
    """The docstring of contract/errors.py shows every class of errors below the one that it grows from."""
    drawn: dict[str, str] = {}
    above = {-1: "FennelError"}
    for branch in BRANCH.finditer(contract.errors.__doc__ or ""):
        depth = len(branch["indent"]) // 4
        drawn[branch["name"]] = above[depth - 1]
        above[depth] = branch["name"]

    assert drawn == {one.name: one.parent for one in error_classes()[1:]}


def test_the_tree_fits_on_one_screen() -> None:
    """Whoever opens the file sees all errors at once."""
    assert len((contract.errors.__doc__ or "").splitlines()) <= 50


def test_every_error_has_its_cause_and_its_cure() -> None:
    """Each code has a section with both, and with what it says; no section stands for an error that is gone."""
    codes = {one.code for one in error_classes()}
    lacking = [
        (code, part)
        for code, text in sections().items()
        for part in ("**Cause.** ", "**Cure.** ", f"says {code} -->\n\n- `")
        if part not in text
    ]

    assert set(sections()) == codes
    assert lacking == []


def test_a_code_is_the_class_s_own_name() -> None:
    """The sentence is told with its code, which a subclass has of its own."""
    assert SettingsError("a setting is wrong").told == "a setting is wrong [settings]"
    assert FennelError("it failed").told == "it failed [failed]"
    assert {one.code for one in error_classes()} >= {"link-taken", "not-running", "slack-refused"}


def test_every_sentence_that_refuses_in_a_chat_is_explained() -> None:
    """What people are told when they get no answer stands in the page, word for word, with what to do."""
    phrases = tomllib.loads((CHECKOUT / "bot" / "phrases" / "en.toml").read_text())
    page = (DOCS / "errors.md").read_text()
    wanted = {name for name in phrases if name.startswith("refused") or name.endswith(("_nothing", "_nobody", "_none"))}
    wanted |= {outcome.value for outcome in Outcome if outcome not in WELL}

    assert [name for name in wanted if f"| {phrases[name]} <!-- {name} --> |" not in page] == []


def test_an_alert_that_a_page_names_exists() -> None:
    """Nobody waits for an alert that never fires."""
    rules = yaml.safe_load((CHECKOUT / "deploy" / "alerts.yaml").read_text())["groups"]
    known = {rule["alert"] for group in rules for rule in group["rules"]}
    named = {name for page in DOCS.rglob("*.md") for name in re.findall(r"\*(Fennel[A-Z]\w+)\*", page.read_text())}

    assert named
    assert named - known == set()


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("too-many-guesses", "too many wrong passwords: try again in … s"),  # the class makes it
        ("lock-lost", "another bot has taken this account over"),  # a constant
        ("stack", "the roll stops at …: … ….*"),  # a function returns it
        ("newer-wire", "wire version … is not read here"),  # one of two classes is made
        ("prompt-too-long", "the prompt has … tokens and the engine takes …"),  # another process says it
        ("redis-unusable", "Redis at … wants a password: set FENNEL_REDIS__PASSWORD"),  # a cause with its cure
        ("redis-unusable", r"… does not speak TLS as we do \(…\): for TLS the URL begins with rediss://"),
    ],
)
def test_a_sentence_is_told_wherever_it_is_made(code: str, sentence: str) -> None:
    """The page has what an error says when its class, a constant or a function makes the sentence, too."""
    assert re.search(f"- `{sentence}", sections()[code]), sections()[code]


def test_what_waiting_cures_is_not_listed_among_what_it_does_not() -> None:
    """A Redis that is away is waited for; the bot ends only over what stays wrong."""
    assert "does not answer" not in sections()["redis-unusable"]
    assert "ended the greeting" not in sections()["redis-unusable"]
