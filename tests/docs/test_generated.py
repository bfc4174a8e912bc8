"""The generated parts of the pages tell what the code says now, and all of it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest
from prometheus_client import REGISTRY

from bot.registry import PLATFORMS
from cli.main import fennel
from config.environment import CHECKOUT
from config.settings import DEFAULTS_FILE
from pages import blocks, commands, settings
from pages.__main__ import main
from pages.metrics import PACKAGES, metrics
from tests.docs.pages import DOCS, text_of_docs


def test_no_generated_part_is_old() -> None:
    """What the pages tell of settings, commands and metrics is what the code says; `make pages` writes it."""
    run = subprocess.run([sys.executable, "-m", "pages", "--check"], cwd=CHECKOUT, capture_output=True, text=True)

    assert run.stderr == ""
    assert run.returncode == 0


def test_an_old_page_is_told_and_written_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` names the page and leaves it; without it the page is written, and then nothing is old."""
    page = tmp_path / "made-up.md"
    page.write_text("before\n<!-- made by `make pages`: make -->\nold\n<!-- end -->\nafter\n")
    for name in ("pages.__main__", "pages.blocks"):
        monkeypatch.setattr(importlib.import_module(name), "CHECKOUT", tmp_path)

    assert main(["--check"]) == 1
    assert "made-up.md is old" in capsys.readouterr().err
    assert "old" in page.read_text()
    assert main([]) == 0
    assert "`make demo`" in page.read_text()
    assert page.read_text().endswith("after\n")
    assert main(["--check"]) == 0


def test_a_part_that_nobody_makes_is_refused() -> None:
    """A mark with a name that is not known stops with that name and does not pass in silence."""
    with pytest.raises(KeyError, match="no-such-part"):
        blocks.filled("<!-- made by `make pages`: no-such-part -->\n\n<!-- end -->")


def test_every_setting_has_a_meaning_and_stands_in_the_page() -> None:
    """Each key of the file says what it is, and docs/settings.md has it under both of its names."""
    page = (DOCS / "settings.md").read_text()
    keys = [(section, key) for section, model in settings.sections().items() for key in model.model_fields]

    assert len(keys) > 100
    assert [one for one in keys if not settings.meanings().get(one)] == []
    assert [one for one in keys if f"`{one[1]}`<br>`FENNEL_{one[0].upper()}__{one[1].upper()}`" not in page] == []
    assert "fennel.toml" in page
    assert DEFAULTS_FILE.name == "fennel.toml"


def test_every_metric_that_is_counted_stands_in_the_page() -> None:
    """What the programs really register is in docs/metrics.md, also where the generator would not have seen it."""
    page = (DOCS / "metrics.md").read_text()
    for package in PACKAGES:
        for file in (CHECKOUT / package).rglob("metrics.py"):
            importlib.import_module(".".join(file.relative_to(CHECKOUT).with_suffix("").parts))
    registered = {family.name for family in REGISTRY.collect() if family.name.startswith("fennel_")}
    documented = {metric.name.removesuffix("_total") for metric in metrics()}

    assert len(registered) > 30
    assert registered - documented == set()
    assert [metric.name for metric in metrics() if f"`{metric.name}`" not in page] == []
    assert [metric.name for metric in metrics() if not metric.meaning] == []


def test_every_command_and_option_stands_in_the_page_with_its_meaning() -> None:
    """docs/commands.md has each command, and none of their options goes without a word."""
    page = (DOCS / "commands.md").read_text()
    contexts = list(commands.commands(fennel))
    options = [
        (context.command_path, option.name)
        for context in contexts
        for option in context.command.params
        if isinstance(option, click.Option) and not option.help
    ]

    assert len(contexts) > 25
    assert [one.command_path for one in contexts if f" {one.command_path}\n" not in page] == []
    assert [one.command_path for one in contexts if not one.command.help] == []
    assert options == []


def test_every_platform_has_a_page_or_part_and_is_named_in_the_readme() -> None:
    """Whoever can start a bot can read how to set it up, and where the start page leads to it."""
    text, readme = text_of_docs(), (CHECKOUT / "README.md").read_text()

    assert [name for name in PLATFORMS if f"python -m bot {name}" not in text] == []
    assert [name for name in PLATFORMS if f"`bot_{name}`" not in readme and name != "console"] == []
