"""A home folder of each test's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config import environment as module
from config.settings import Settings


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home folder and a .env of this test's own, and none of the environment's settings."""
    for name in list(os.environ):
        if name.startswith("FENNEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(module, "DOTENV_FILE", tmp_path / ".env")
    monkeypatch.setitem(Settings.model_config, "env_file", tmp_path / ".env")
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("FENNEL_HOME", str(folder))
    return folder
