"""Chat clients written in JavaScript by others, run as child processes that speak JSON lines.

A script below ``tests/fakes/node/`` reads one call a line from stdin, ``{"id": 1, "do": "reply", "args": [...]}``,
and writes a line for each answer, ``{"id": 1, "result": …}`` or ``{"id": 1, "error": …}``, and for each thing that
happens to it, ``{"event": "message", …}``.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

NODE_FOLDER = Path(__file__).parent / "node"


def install_packages() -> Path:
    """Install what the lock file names, unless that is there already; gives the folder.

    Raises CalledProcessError with npm's output when it fails. A file lock lets two test runs share the folder.
    """
    wanted = hashlib.sha256((NODE_FOLDER / "package-lock.json").read_bytes()).hexdigest()
    stamp = NODE_FOLDER / "node_modules" / ".installed-lock"
    with (NODE_FOLDER / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run(command, cwd=NODE_FOLDER, check=True, timeout=300)
            stamp.write_text(wanted)
    return NODE_FOLDER


class NodePeer:
    """One running script, whose exported calls are `call`ed and whose events are waited for."""

    def __init__(self, script: str, env: Mapping[str, str] | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self._answers: dict[int, dict[str, Any]] = {}
        self._changed = threading.Condition()
        self._next_id = 0
        self._errors: list[str] = []
        self._ended = False
        self._process = subprocess.Popen(
            ["node", script],
            cwd=NODE_FOLDER,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin: IO[str] = self._process.stdin
        self._readers = [
            threading.Thread(target=self._read_lines, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._errors.extend, args=(self._process.stderr,), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def call(self, do: str, *args: Any, timeout_s: float = 20) -> Any:
        """What the call gives. Raises PeerError with what it throws."""
        return self.finish(self.begin(do, *args), timeout_s)

    def begin(self, do: str, *args: Any) -> int:
        """Start a call without waiting for it; `finish` takes the number."""
        self._next_id += 1
        self._stdin.write(json.dumps({"id": self._next_id, "do": do, "args": args}) + "\n")
        self._stdin.flush()
        return self._next_id

    def finish(self, call_id: int, timeout_s: float = 20) -> Any:
        """Wait for a call that was begun."""
        self.wait_until(lambda: call_id in self._answers, timeout_s)
        answer = self._answers.pop(call_id)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer.get("result")

    def wait_for_event(self, name: str, count: int = 1, timeout_s: float = 20) -> dict[str, Any]:
        """The `count`-th event of that name, as soon as it has happened."""
        self.wait_until(lambda: len(self.events_named(name)) >= count, timeout_s)
        return self.events_named(name)[count - 1]

    def events_named(self, name: str) -> list[dict[str, Any]]:
        """The events of that name until now."""
        return [event for event in self.events if event["event"] == name]

    def stop(self) -> None:
        """End the script by closing its stdin, or by force after 5 s."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until(self, look: Callable[[], bool], timeout_s: float = 20) -> None:
        """Return as soon as `look()` is true; it is asked after each line of the script.

        Raises TimeoutError with the script's last events and its stderr.
        """
        end_s = time.monotonic() + timeout_s
        with self._changed:
            while not look():
                left_s = end_s - time.monotonic()
                if left_s <= 0 or self._ended:
                    what = "the script ended" if self._ended else f"nothing like that within {timeout_s} s"
                    last = "\n".join(str(event)[:300] for event in self.events[-10:])
                    raise TimeoutError(f"{what}; events:\n{last}\nstderr:\n{''.join(self._errors[-20:])}")
                self._changed.wait(left_s)

    def _read_lines(self, stream: IO[str]) -> None:
        for line in stream:
            message = json.loads(line)
            with self._changed:
                if "id" in message:
                    self._answers[message["id"]] = message
                else:
                    self.events.append(message)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class PeerError(Exception):
    """What a call to the script threw."""
