"""The packages that Fennel stands on: pinned, and to be had on the oldest Python that the documentation names."""

from __future__ import annotations

import re
from importlib import metadata

from packaging.specifiers import SpecifierSet

from config.settings import CHECKOUT

OLDEST_PYTHON = "3.11.2"
"""Debian 12 has it, and the documentation promises that Fennel runs there."""
PIN = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>\S+)$", re.MULTILINE)


def pins() -> dict[str, str]:
    """Each pinned package with its version."""
    return {found["name"]: found["version"] for found in PIN.finditer((CHECKOUT / "constraints.txt").read_text())}


def test_every_pinned_release_can_be_installed_on_debian_12() -> None:
    """No pin wants a later Python than Debian 12 has: pip would look for a way out for ever."""
    wanted = {name: str(metadata.metadata(name).json.get("requires_python", "")) for name in pins()}

    assert len(wanted) > 100
    assert [(name, python) for name, python in wanted.items() if not SpecifierSet(python).contains(OLDEST_PYTHON)] == []


def test_what_is_installed_is_what_is_pinned() -> None:
    """The tests speak of the releases that users get; torch has one build for CPUs and one for GPUs."""
    assert {name: metadata.version(name).partition("+")[0] for name in pins()} == pins()
