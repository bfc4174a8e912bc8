"""On a machine with a GPU: the start that failed elsewhere, from a program that has initialised CUDA."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bot.phrases import phrase
from tests.cli.stack_home import StackHome, stack_home
from tests.cli.terminal_chat import TOUCHED, chat_once

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(300)]

# As TOUCHED, but the programs are started by this one itself and not by a program in between.
TOUCHED_AND_DIRECT = TOUCHED.replace("from bot.__main__ import main\n", "").replace(
    'main(["console", "--standalone"])',
    '__import__("cli.standalone").standalone.run(__import__("config.loading").loading.load_settings(), "console")',
)


@pytest.fixture
def home() -> Iterator[StackHome]:
    """A home folder in which nothing runs yet."""
    with stack_home() as one:
        yield one


@pytest.mark.parametrize("program", [TOUCHED, TOUCHED_AND_DIRECT], ids=["by a program in between", "directly"])
def test_a_parent_that_has_initialised_cuda_gets_its_answers(home: StackHome, program: str) -> None:
    """Its programs share nothing with it: the model is loaded on the GPU, a question is answered, and nothing hangs."""
    said = chat_once(home, program.format(device="cuda", model=home.folder / "model"), device="cuda")
    log = (home.home / "logs" / "worker_0.log").read_text()

    assert phrase("en", "not_found") in said, log
    assert "device=cuda" in log
