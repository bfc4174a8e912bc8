"""What holds of the code as a whole: nothing unused, in a circle or undocumented, and no setting that nobody reads."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from pydantic import BaseModel

from benchmarks.house import CODE, House, documented, longest_chain, with_sentence
from config import settings
from config.settings import CHECKOUT


@pytest.fixture(scope="module")
def house() -> House:
    """All modules, read once."""
    return House.read(CHECKOUT)


def test_nothing_is_unused() -> None:
    """Vulture finds nothing that nobody uses; what others call by its name stands in pyproject.toml with who does."""
    done = subprocess.run([sys.executable, "-m", "vulture"], cwd=CHECKOUT, capture_output=True, text=True)

    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_no_modules_import_each_other(house: House) -> None:
    """Whoever reads a module and what it imports comes to an end."""
    assert longest_chain(house)


def test_every_test_says_what_it_holds(house: House) -> None:
    """A test is a sentence about the program, and then its proof."""
    said, tests = with_sentence(house)

    assert said == tests


def test_every_public_name_is_documented(house: House) -> None:
    """Modules, classes, functions and methods that others may use say what they are."""
    said, names = documented(house)

    assert said == names


def sections() -> dict[str, type[BaseModel]]:
    """The settings' sections by name."""
    fields = settings.Settings.model_fields
    return {
        name: field.annotation
        for name, field in fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def test_each_setting_is_read(house: House) -> None:
    """A setting that nothing looks at would be a promise that nobody keeps."""
    outside = {name: tree for name, tree in house.trees.items() if name.split("/")[0] in CODE}
    read = {node.attr for tree in outside.values() for node in ast.walk(tree) if isinstance(node, ast.Attribute)}

    known = [(section, key) for section, kind in sections().items() for key in kind.model_fields]

    assert [f"{section}.{key}" for section, key in known if key not in read] == []
