"""Fixtures that the tests of the fake platforms share."""

import os
import shutil
from pathlib import Path

import pytest

from tests.fakes.node_peer import install_packages


@pytest.fixture(scope="session")
def node_packages() -> Path:
    """The folder with the JavaScript clients, installed. Without Node.js a laptop skips, and CI fails."""
    if shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs Node.js and npm for the clients that prove the fakes")
        pytest.skip("needs Node.js and npm")
    return install_packages()
