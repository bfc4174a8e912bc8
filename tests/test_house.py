"""What holds of the code as a whole: nothing unused or in a circle, no setting that nobody reads, all of it packed."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from pydantic import BaseModel

from benchmarks.house import CODE, House, longest_chain
from config import settings
from config.environment import CHECKOUT


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


def test_a_wheel_holds_all_that_the_code_needs(tmp_path: Path) -> None:
    """A built wheel has every file of the packages, the marks that their types may be used among them."""
    source = tmp_path / "source"
    for name in CODE:
        shutil.copytree(CHECKOUT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    built = "from setuptools.build_meta import build_wheel; print(build_wheel('..'))"
    # Setuptools' remarks on its own future are no finding of ours.
    run = subprocess.run([sys.executable, "-c", built], cwd=source, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (wheel,) = tmp_path.glob("*.whl")

    packed = set(zipfile.ZipFile(wheel).namelist())

    written = {str(file.relative_to(source)) for name in CODE for file in (source / name).rglob("*") if file.is_file()}
    assert {f"{name}/py.typed" for name in CODE} <= packed
    assert sorted(written - packed) == []
