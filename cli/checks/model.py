"""The model: torch, the GPU and its driver, the model's files and the memory that it needs.

Asked in a program of its own, because this one must not import torch.
"""

from __future__ import annotations

import json
import subprocess
import sys

from cli.checks import remote
from config.environment import CHECKOUT, environment_with
from config.settings import Settings
from contract.finding import Finding

PROBE = "workers.engine.local.probe"
TIMEOUT_S = 120.0


def findings(settings: Settings, *, is_loaded: bool) -> list[Finding]:
    """All findings of the model; `is_loaded`: an engine of ours holds it already, so that its memory is not free."""
    kind = settings.engine.kind
    servers = remote.findings(settings) if kind in ("openai", "hybrid") else []
    if kind in ("openai", "echo"):
        return servers or [Finding("model", True, f"engine.kind={kind} needs none")]
    command = [sys.executable, "-m", PROBE, *(["--loaded"] if is_loaded else [])]
    try:
        done = subprocess.run(
            command,
            cwd=CHECKOUT,
            env=environment_with(FENNEL_HOME=str(settings.home)),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        return [*servers, *(Finding(**one) for one in json.loads(done.stdout))]
    except subprocess.TimeoutExpired:
        return [
            Finding("torch", False, f"torch was not imported within {TIMEOUT_S:.0f} s", "look at the machine's load")
        ]
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return [Finding("torch", False, f"the model cannot be looked at: {last}", "make venv installs what is missing")]
