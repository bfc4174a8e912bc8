"""A stage for each test, and how many questions are asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.network import NoNetworkError, check
from tests.hosts.stage import Stage


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the tests take is how many questions they ask."""
    parser.addoption("--questions", type=int, default=100, help="questions that each test with several hosts asks")


@pytest.fixture
def questions(request: pytest.FixtureRequest) -> int:
    """How many questions a test asks."""
    return int(request.config.getoption("--questions"))


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A network of this test's own, in a short folder: homes below it have sockets."""
    try:
        check()
    except NoNetworkError as error:
        pytest.exit(f"{error}.", returncode=1)
    with tempfile.TemporaryDirectory(prefix="fennel-hosts-") as folder, Stage(Path(folder)) as one:
        yield one
