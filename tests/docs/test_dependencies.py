"""The packages that Fennel stands on: explained, used, free, and to be had on the oldest Python that is promised."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

from config.environment import CHECKOUT
from pages.licences import licences, pins
from tests.docs.pages import DOCS

OLDEST_PYTHON = "3.11.2"
"""Debian 12 has it, and the documentation promises that Fennel runs there."""
FREE = {
    *("0BSD", "Apache", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSD-derived", "BSL-1.0", "CC0-1.0"),
    *("CNRI-Python", "Domain", "ISC", "LLVM-exception", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Public", "Unlicense"),
    "Zlib",
}
# Used as they are, neither changed nor given out with Fennel, which these allow beside Apache-2.0.
USED_AS_THEY_ARE = ["LGPL-3.0-only", "MPL-2.0"]
# Words that join the names of licences, and docutils' Emacs mode, which is in no wheel.
JOINING = re.compile(r"\b(?:AND|OR|WITH|and|or)\b|[(),]|dependency licenses|License|GNU General Public .*|http\S+")


def wanted() -> set[str]:
    """The packages that pyproject.toml asks for, with every extra."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    return {re.split(r"[^\w.-]", one, maxsplit=1)[0] for one in asked}


def test_every_dependency_is_explained_and_none_besides() -> None:
    """docs/dependencies.md has a row for what pyproject.toml asks for: what for, why, licence, age, what else."""
    rows = [line for line in (DOCS / "dependencies.md").read_text().splitlines() if line.startswith("| `")]
    explained = {name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])}

    assert explained == wanted()
    assert [row for row in rows if len([cell for cell in row.strip("|").split("|") if cell.strip()]) != 6] == []


def test_every_dependency_is_used_and_everything_used_is_asked_for() -> None:
    """Nothing is installed in vain, and nothing works only because somebody else asked for it."""
    run = subprocess.run(
        [Path(sys.executable).with_name("deptry"), "."], cwd=CHECKOUT, capture_output=True, text=True, timeout=100
    )

    assert run.returncode == 0, run.stderr


def test_every_licence_is_known_and_lets_fennel_be_apache() -> None:
    """No package comes under a licence that nobody has looked at."""
    found = licences()
    strange = {
        name: licence
        for name, licence in found.items()
        if set(JOINING.sub(" ", licence).split()) - {*FREE, *USED_AS_THEY_ARE}
    }

    assert len(found) > 100
    assert [name for name, licence in found.items() if not licence] == []
    assert strange == {}


def test_every_pinned_release_can_be_installed_on_debian_12() -> None:
    """No pin wants a later Python than Debian 12 has: pip would look for a way out for ever."""
    pythons = {name: str(metadata.metadata(name).json.get("requires_python", "")) for name in pins()}

    assert len(pythons) > 100
    assert [(name, one) for name, one in pythons.items() if not SpecifierSet(one).contains(OLDEST_PYTHON)] == []


def test_every_pinned_release_but_torch_has_the_hashes_of_its_files() -> None:
    """What `make venv` installs is the file that was looked at, whatever index it comes from."""
    lock = (CHECKOUT / "requirements.lock").read_text()
    release = r"^([\w.-]+)==([^\s;]+)[^\n]*(?:\n    --hash=sha256:[0-9a-f]{64}[^\n]*)+"
    hashed = set(re.findall(release, lock, re.MULTILINE))
    constraints = re.findall(r"^([\w.-]+)==([^\s;]+)", (CHECKOUT / "constraints.txt").read_text(), re.MULTILINE)

    pinned = {(re.sub(r"[._]", "-", name.lower()), release) for name, release in constraints if name != "torch"}
    assert hashed == pinned


def test_what_is_installed_is_what_is_pinned() -> None:
    """The tests speak of the releases that users get; torch has one build for CPUs and one for GPUs."""
    assert {name: metadata.version(name).partition("+")[0] for name in pins()} == pins()
