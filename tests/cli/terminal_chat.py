"""A chat in a terminal that starts everything itself, from a program that has used torch before."""

from __future__ import annotations

import subprocess
import sys
import threading

from config.environment import CHECKOUT
from tests.cli.stack_home import StackHome

# Makes a model, runs a kernel on the device and on several threads, and then does what failed elsewhere: starts the
# chat and all that belongs to it in the same program.
TOUCHED = """
import sys, torch
from pathlib import Path
from tests.workers.engine.tiny_models import ARCHITECTURES, make_model
ARCHITECTURES["llama"][0].max_position_embeddings = 8192
make_model(Path("{model}"))
torch.set_num_threads(2)
(torch.rand(300, 300, device="{device}") @ torch.rand(300, 300, device="{device}")).sum().item()
from bot.__main__ import main
code = main(["console", "--standalone"])
sys.exit(code)
"""
WITHIN_S = 150.0


def chat_once(home: StackHome, program: str, *, device: str) -> str:
    """Run the program, ask one question in its chat, and return all that it said; it has to end well by itself."""
    settings = {
        "FENNEL_ENGINE__KIND": "transformers",
        "FENNEL_ENGINE__MODEL": str(home.folder / "model"),
        "FENNEL_ENGINE__DEVICE": device,
        "FENNEL_ENGINE__START_TIMEOUT_S": "120",
    }
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=CHECKOUT,
        env=home.environment(**settings),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        # A hang is what this is about: it ends as a failure.
        timer = threading.Timer(WITHIN_S, process.kill)
        timer.start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            said = ""
            for line in process.stdout:
                said += line
                if line.startswith("Write @fennel"):
                    process.stdin.write("@fennel How long is a holiday?\n")
                    process.stdin.close()
        finally:
            timer.cancel()
    assert process.returncode == 0, said
    return said
