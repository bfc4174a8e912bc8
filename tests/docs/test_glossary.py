"""One word for one thing: what crosses between the programs stands in the glossary under its own name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import tomllib

import contract
from config.settings import DEFAULTS_FILE
from contract.answer import Outcome
from pages.metrics import metrics
from tests.docs.pages import DOCS

NOT_USED = re.compile(r"(?:^|_)(chunks?|backends?|rooms?|users?|handlers?|managers?)(?:_|$)")
"""Words that the glossary gives up."""
OTHERS_WORDS = {"user", "sentinel_user", "rooms"}
"""Redis' own word for who logs in, and the web page's for what its visitors see; the code says channel."""


def public_nouns() -> set[str]:
    """The public classes that `contract` defines."""
    modules = [importlib.import_module(f"contract.{module.name}") for module in pkgutil.iter_modules(contract.__path__)]
    return {
        name
        for module in modules
        for name, one in inspect.getmembers(module, inspect.isclass)
        if one.__module__ == module.__name__ and not name.startswith("_")
    }


def rows() -> list[list[str]]:
    """The glossary's rows: word, meaning, record."""
    lines = (DOCS / "glossary.md").read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def test_every_public_noun_of_the_contract_is_in_the_glossary() -> None:
    """Each record has its row, and the row's word is the record's name in small letters."""
    named = {row[2].strip("`"): row[0] for row in rows() if len(row) == 3 and row[2].startswith("`")}
    split = {name: re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower() for name in public_nouns()}

    assert set(named) == public_nouns()
    assert {name: word.lower() for name, word in named.items()} == split


def test_every_outcome_is_in_the_glossary() -> None:
    """The ways in which a question ends are called as the record calls them."""
    (meaning,) = [row[1] for row in rows() if row[0] == "outcome"]

    assert [one.value for one in Outcome if one.value.replace("_", " ") not in meaning] == []


def words() -> list[str]:
    """The words of all rows, also of those that are not used."""
    found = [word.strip() for row in rows() if len(row) == 3 and row[1] != "But" for word in row[0].split(",")]
    return [word for word in found if word not in ("Word", "---", "Not")]


def test_no_word_stands_twice() -> None:
    """Two rows for one word would be two meanings."""
    assert [word for word in set(words()) if words().count(word) > 1] == []


def test_every_section_of_the_settings_has_its_word() -> None:
    """Whoever reads a section's name in the settings finds what it means: a word of its own, or a platform's name."""
    (platforms,) = [row[1].lower() for row in rows() if row[0] == "platform"]
    known = [word.lower() for word in words()]
    sections = [section.removesuffix("s") for section in tomllib.loads(DEFAULTS_FILE.read_text())]

    assert len(sections) > 20
    assert [one for one in sections if not any(word.startswith(one) for word in known) and one not in platforms] == []


def test_settings_and_metrics_use_no_word_that_is_given_up() -> None:
    """An operator reads the same words in the settings and on the dashboard as in the documentation."""
    sections = tomllib.loads(DEFAULTS_FILE.read_text())
    names = [key for keys in sections.values() for key in keys] + [metric.name for metric in metrics()]
    names += [label for metric in metrics() for label in metric.labels]

    assert len(names) > 150
    assert {name for name in names if NOT_USED.search(name)} - OTHERS_WORDS == set()
