"""Parsing of strangers' files in processes of their own, each with little memory, little time and no way out.

A file that kills its process or hangs it costs that file; the next one gets a new process.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Collection
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from workers.knowledge.document import DocumentError, KnowledgeError, Section
from workers.knowledge.folder import BYTES_A_MB
from workers.knowledge.kind import kind_by_name
from workers.knowledge.parse import UNPACKED_TIMES
from workers.knowledge.reader import Reading

_ROOT = Path(__file__).resolve().parent.parent.parent
_START_TIMEOUT_S = 60.0
_FILES_A_PROCESS = 10_000
_WAITED_FOR_S = 0.2
_TEXT_TIMES = 8
"""The text of a file may be this many times knowledge.max_file_mb; JSON writes a character in up to six bytes."""
_MOST_GREETING_BYTES = 4096
_END_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class ParsingLimits:
    """What parsing one file may cost."""

    max_file_mb: int
    memory_mb: int
    timeout_s: float


class ParsingPool:
    """Processes that parse, as many as are needed at a time. `parse` may be called from many threads at once.

    `names` are the names of the files to come: what reads them is imported when a process starts, because afterwards
    none of its modules can be opened any more.
    """

    def __init__(self, limits: ParsingLimits, names: Collection[str]) -> None:
        self._limits = limits
        suffixes = {Path(name).suffix.lower() for name in names}
        known = all(kind_by_name(f"a{suffix}") for suffix in suffixes)
        self._names = sorted(f"a{suffix}" for suffix in suffixes) if known else []
        self._idle: queue.LifoQueue[_ParsingProcess] = queue.LifoQueue()
        self._first = threading.Lock()
        self._started = False

    def __enter__(self) -> ParsingPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that nobody uses."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().kill()

    def parse(self, name: str, content: bytes) -> Reading:
        """Read a file; raises DocumentError with the reason where it cannot be read.

        Raises KnowledgeError where no process can be started, which is no file's fault.
        """
        process = self._take()
        while True:
            try:
                return process.parse(name, content)
            except _SpentError as error:
                if process.parsed == 0:
                    raise DocumentError(str(error)) from error
            finally:
                self._give_back(process)
            # What it had read before may have spoiled it: the file is tried alone.
            process = _ParsingProcess(self._limits, self._names)

    def _take(self) -> _ParsingProcess:
        """A process that is idle, or is soon; else one more, which costs half a second of processor time."""
        with self._first:  # nobody starts another while the first one is importing: it may be enough
            if not self._started:
                process = _ParsingProcess(self._limits, self._names)
                self._started = True
                return process
        try:
            return self._idle.get(timeout=_WAITED_FOR_S)
        except queue.Empty:
            return _ParsingProcess(self._limits, self._names)

    def _give_back(self, process: _ParsingProcess) -> None:
        if process.spent or process.parsed >= _FILES_A_PROCESS:
            process.kill()
        else:
            self._idle.put(process)


class _SpentError(Exception):
    """The process is of no more use; says why, in words for the file that it was reading."""


class _ParsingProcess:
    """One started process. `parsed` counts the files that it has read; `spent` says that it has to be replaced."""

    def __init__(self, limits: ParsingLimits, names: list[str]) -> None:
        self.parsed = 0
        self.spent = True  # until it is ready, and while it reads
        self._limits = limits
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workers.knowledge.parsing_process"],
            cwd=_ROOT,
            env={"LANG": "C.UTF-8", "PATH": os.defpath},  # none of ours: it may hold secrets
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C in the terminal is for whoever waits for it
        )
        assert self._process.stdin is not None  # noqa: S101 -- they were asked for
        assert self._process.stdout is not None  # noqa: S101
        self._requests = Connection(os.dup(self._process.stdin.fileno()), readable=False)
        self._replies = Connection(os.dup(self._process.stdout.fileno()), writable=False)
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._start(names)
        except BaseException:
            self.kill()
            raise

    def _start(self, names: list[str]) -> None:
        settings = {
            "names": names,
            "memory_bytes": self._limits.memory_mb * BYTES_A_MB,
            "max_unpacked_bytes": UNPACKED_TIMES * self._limits.max_file_mb * BYTES_A_MB,
            "timeout_s": self._limits.timeout_s,
        }
        try:
            self._requests.send_bytes(json.dumps(settings).encode())
            if not self._replies.poll(_START_TIMEOUT_S):
                raise KnowledgeError(f"the parsing process did not start within {_START_TIMEOUT_S:.0f} s")
            self.isolated = bool(json.loads(self._replies.recv_bytes(_MOST_GREETING_BYTES))["isolated"])
        except (EOFError, OSError) as error:
            how = self._ending()
            raise KnowledgeError(
                f"the parsing process {how} when it started: `python -m workers.knowledge.parsing_process` shows why"
            ) from error
        self.spent = False

    def parse(self, name: str, content: bytes) -> Reading:
        """Read a file; raises DocumentError with its reason, and _SpentError where the process was lost."""
        self.spent = True
        timeout_s = self._limits.timeout_s
        try:
            self._requests.send_bytes(json.dumps(name).encode())
            self._requests.send_bytes(content)
            if not self._replies.poll(timeout_s):
                raise _SpentError(f"takes longer than {timeout_s:g} s to read (knowledge.parse_timeout_s)")
            answer = self._replies.recv_bytes(_TEXT_TIMES * self._limits.max_file_mb * BYTES_A_MB)
        except EOFError as error:
            raise _SpentError(f"breaks the program that reads it, which {self._ending()}") from error
        except BrokenPipeError as error:
            raise _SpentError(f"breaks the program that reads it, which {self._ending()}") from error
        except OSError as error:  # the answer is longer than was allowed
            raise _SpentError("holds more text than a file of the allowed size can") from error
        found = json.loads(answer)
        if found.get("out_of_memory"):
            raise _SpentError(f"needs more than {self._limits.memory_mb} MB to read (knowledge.parse_memory_mb)")
        self.spent = False
        self.parsed += 1
        if "reason" in found:
            raise DocumentError(str(found["reason"]))
        return _reading(found)

    def kill(self) -> None:
        """End it, whatever it does."""
        self.spent = True
        self._process.kill()
        self._process.wait()
        self._requests.close()
        self._replies.close()

    def _ending(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self._process.wait(_END_WAIT_S)
            return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return "fell silent"


def _reading(found: dict[str, Any]) -> Reading:
    """What the process says it has read. It may be in a stranger's hands by now, so nothing is taken for granted."""
    try:
        sections = tuple(
            Section(tuple(map(str, heading)), tuple(map(str, blocks)), int(page))
            for heading, blocks, page in found["sections"]
        )
        return Reading(str(found["title"]), sections, str(found["note"]))
    except (KeyError, TypeError, ValueError) as error:
        raise DocumentError("breaks the program that reads it, which answered with rubbish") from error
