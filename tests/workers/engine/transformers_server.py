"""`transformers serve`, a server of others that speaks OpenAI's protocol, with a tiny model."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.port import free_port

START_TIMEOUT_S = 200.0


class TransformersServer:
    """A running server of one model's folder. Its log stands beside the folder."""

    def __init__(self, model_folder: Path) -> None:
        port = free_port()
        log = model_folder.parent / "log"
        arguments = ["serve", str(model_folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
        with log.open("w") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from transformers.cli.transformers import main; main()", *arguments],
                env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(model_folder.parent)},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.model = str(model_folder)
        self.url = f"http://127.0.0.1:{port}/v1"
        end_s = time.monotonic() + START_TIMEOUT_S
        try:
            while not _answers(f"http://127.0.0.1:{port}/health"):
                assert self._process.poll() is None, log.read_text()
                assert time.monotonic() < end_s, log.read_text()
                time.sleep(0.1)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):  # noqa: S310 -- an address of ours
            return True
    except (urllib.error.URLError, OSError):
        return False
