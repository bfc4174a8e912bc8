"""docs/adding-a-platform.md, followed to the letter: one file, and a new chat answers."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import bot.platforms
import tests.bot
from bot import registry
from bot.phrases import phrase
from config.environment import CHECKOUT
from config.settings import Settings
from tests.bot.conftest import MakeSettings, make_settings  # noqa: F401 -- a fixture
from tests.bot.manners.stage import Stage
from tests.bot.test_platforms import (  # noqa: F401 -- the fixture and the tests that every platform passes
    listening,
    test_a_message_comes_in_whole,
    test_a_reply_is_found_by_a_new_process,
    test_an_answer_grows_and_ends_in_one_place,
    test_an_end_can_be_sent_at_once,
    test_closing_ends_the_listening,
)
from tests.cli.stack_home import StackHome, stack_home
from tests.docs.pages import DOCS, blocks

WITHIN_S = 60.0
NAME = "letterbox"


def block(title: str) -> str:
    """The page's block of this title. Raises ValueError where there is not just one."""
    (found,) = [one.body for one in blocks(DOCS / "adding-a-platform.md") if one.title == title]
    return found


@pytest.fixture(scope="module")
def stage_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page's two files, each where Python looks for it; afterwards it is as if they had never been there."""
    folder = tmp_path_factory.mktemp("added")
    for package, title in ((bot.platforms, f"bot/platforms/{NAME}.py"), (tests.bot, f"tests/bot/{NAME}_stage.py")):
        target = folder / title
        target.parent.mkdir(parents=True)
        target.write_text(block(title))
        package.__path__.append(str(target.parent))
    yield importlib.import_module(f"tests.bot.{NAME}_stage")
    for package in (bot.platforms, tests.bot):
        package.__path__.pop()
    for module in (f"bot.platforms.{NAME}", f"tests.bot.{NAME}_stage"):
        del sys.modules[module]


@pytest.fixture
def stage(stage_module: Any, tmp_path: Path) -> Stage:
    """The page's stage, in place of the platforms' own."""
    made: Stage = stage_module.LetterboxStage(tmp_path / "box")
    return made


@pytest.fixture
def settings(stage: Stage, make_settings: MakeSettings) -> Settings:  # noqa: F811 -- the fixture
    """The settings that lead the platform to its folder."""
    return make_settings(**stage.sections())


def test_the_page_follows_the_rules_of_the_code(tmp_path: Path) -> None:
    """Its file passes the style and the types that every file of ours passes."""
    file = tmp_path / f"{NAME}.py"
    file.write_text(block(f"bot/platforms/{NAME}.py"))
    rules = ["--config", str(CHECKOUT / "pyproject.toml"), "--ignore", "INP001,ASYNC240,PTH105"]
    ruff = subprocess.run(
        [Path(sys.executable).with_name("ruff"), "check", *rules, str(file)], capture_output=True, text=True
    )

    assert ruff.returncode == 0, ruff.stdout


def copy_of_the_checkout(folder: Path) -> Path:
    """The programs in a folder of their own, with the page's file and its program in it and nothing else changed."""
    checkout = folder / "checkout"
    for package in ("bot", "cli", "config", "contract", "health", "workers"):
        shutil.copytree(CHECKOUT / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / f"bot/platforms/{NAME}.py").write_text(block(f"bot/platforms/{NAME}.py"))
    programs = (CHECKOUT / "supervisord.conf").read_text() + "\n" + block("supervisord.conf")
    (checkout / "supervisord.conf").write_text(programs)
    return checkout


def leave_a_letter(box: Path) -> None:
    """The page's letter, written now, before a bot that has made its folders."""
    end_s = time.monotonic() + WITHIN_S
    while not (box / "in").is_dir() and time.monotonic() < end_s:
        time.sleep(0.1)
    letter = re.sub(r'"at_s": 0', f'"at_s": {time.time()}', block("/srv/letterbox/in/1.json"))
    (box / "in" / "1.unfinished").write_text(letter)
    (box / "in" / "1.unfinished").rename(box / "in" / "1.json")


def answer_to_the_letter(box: Path) -> str:
    """What lies beside it at the end, or the empty text when none has come in time."""
    answer = box / "out" / "1.json"
    end_s = time.monotonic() + WITHIN_S
    while time.monotonic() < end_s:
        if answer.exists() and (shown := json.loads(answer.read_text()))["is_end"]:
            return str(shown["text"])
        time.sleep(0.1)
    return ""


def settings_of_the_page(home: StackHome, box: Path) -> None:
    """The page's table in the home's settings, with a folder of the test's own."""
    home.home.mkdir(exist_ok=True)
    (home.home / "fennel.toml").write_text(block("FENNEL_HOME/fennel.toml").replace("/srv/letterbox", str(box)))


@pytest.fixture(scope="module")
def home() -> Iterator[StackHome]:
    """A stack that runs, as the page has it."""
    with stack_home() as home:
        assert home.fennel("up", "--wait").returncode == 0
        yield home


def test_one_file_is_a_chat_that_answers(home: StackHome, tmp_path: Path) -> None:
    """With the file, its table in the settings and the page's command, a letter has its answer beside it."""
    checkout, box = copy_of_the_checkout(tmp_path), tmp_path / "box"
    settings_of_the_page(home, box)
    (command,) = [
        one.body.strip() for one in blocks(DOCS / "adding-a-platform.md") if one.body.startswith("python -m bot")
    ]
    environment = {**home.environment(), "PYTHONPATH": str(checkout)}
    with subprocess.Popen(
        [sys.executable, *command.split()[1:]], cwd=checkout, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            leave_a_letter(box)
            assert phrase("en", "not_found") in answer_to_the_letter(box)
            assert list((box / "in").iterdir()) == []
        finally:
            process.terminate()
            process.communicate(timeout=30)
    assert process.returncode == 0


def test_up_starts_an_added_platform_with_the_others(tmp_path: Path) -> None:
    """With the page's program in supervisord.conf, `fennel up` keeps the new chat's bot up, and it answers."""
    checkout, box = copy_of_the_checkout(tmp_path), tmp_path / "box"
    with stack_home(PYTHONPATH=str(checkout)) as home:
        settings_of_the_page(home, box)
        up = home.fennel("up", "--wait")
        assert up.returncode == 0, up.stderr
        leave_a_letter(box)

        assert phrase("en", "not_found") in answer_to_the_letter(box)
        assert home.programs()[f"bot_{NAME}"]["state"] == "RUNNING"


def test_an_added_file_is_known_everywhere(tmp_path: Path) -> None:
    """The bot's help lists it and the doctor takes its name; without its table it says what it wants, and ends well."""
    checkout = copy_of_the_checkout(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(checkout), "FENNEL_HOME": str(tmp_path / "home")}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *words], cwd=checkout, env=environment, capture_output=True, text=True, timeout=60
        )

    wants, listed = run("bot", NAME), run("bot", "--help")

    assert NAME in listed.stdout
    assert f"{NAME} is not configured: set a table [platforms.{NAME}]" in wants.stderr
    assert wants.returncode == 0


def test_a_file_that_is_gone_is_no_platform() -> None:
    """The table of platforms has those that are there, and the shipped ones first."""
    assert NAME not in registry.PLATFORMS
    assert next(iter(registry.PLATFORMS)) == "console"
