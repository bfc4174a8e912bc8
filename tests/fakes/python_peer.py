"""Chat clients written in Python by others, each in a process of its own.

A client may seize an event loop or end its process, so none runs in the tests' own. The protocol is that of
`tests.fakes.node_peer`: JSON lines, a call ``{"id": 1, "do": "reply", "args": […]}`` and its answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self


class PythonPeer:
    """One running module, ``python -m module``; what it does besides answering is seen in the fake's journal."""

    def __init__(self, module: str, env: Mapping[str, str]) -> None:
        # Proxies of the environment would be asked for 127.0.0.1 too, by requests and by httpx.
        direct = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", module],
            env={**direct, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._next_id = 0
        self._errors: list[str] = []
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=self._errors.extend, args=(self._process.stderr,), daemon=True)
        self._reader.start()

    def call(self, do: str, *args: Any) -> Any:
        """What the call gives. Raises RuntimeError with what it raised, or with stderr when the process ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._next_id += 1
        with contextlib.suppress(BrokenPipeError):  # stdout tells below that the process ended
            self._process.stdin.write(json.dumps({"id": self._next_id, "do": do, "args": args}) + "\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            if not line.startswith("{"):
                continue  # the SDKs log to stdout
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(answer["error"])
            return answer["result"]
        self._reader.join()
        raise RuntimeError("the process ended:\n" + "".join(self._errors[-30:]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def serve(calls: Mapping[str, Callable[..., Any]]) -> None:
    """In the peer's process: serve the test's calls until stdin ends."""
    for line in sys.stdin:
        call = json.loads(line)
        try:
            answer = {"id": call["id"], "result": calls[call["do"]](*call["args"])}
        except Exception as error:
            answer = {"id": call["id"], "error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
