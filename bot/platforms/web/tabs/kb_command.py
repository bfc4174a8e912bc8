"""`fennel kb …` as a child process: a bot imports no embedder, and what goes wrong with documents hurts no chat.

The command is a list of arguments; what a person wrote stands behind ``--`` or is the value of an option.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from config.environment import CHECKOUT, environment_with
from config.settings import Settings

STOP_WITHIN_S = 5.0
MAX_LINE_BYTES = 64 * 2**20
_SAID_CHARACTERS = 500

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Step:
    """How far a command is: `done` of `whole`, which is 0 where it is not known; `what` says of what."""

    what: str
    done: int
    whole: int


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended: what it printed, or in `problem` the sentence that says why not."""

    body: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


class KbCommand:
    """Runs them: those that change something one after another, as many as asked for that only look."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def look(self, *arguments: str) -> Result:
        """Run a command that changes nothing."""
        async with aclosing(self._run(arguments, CHECKOUT)) as steps:
            last = [step async for step in steps][-1]
        assert isinstance(last, Result)  # noqa: S101 -- a run ends so
        return last

    async def change(self, *arguments: str, folder: Path = CHECKOUT) -> AsyncIterator[Step | Result]:
        """Run a command that changes documents, in `folder`, and tell how far it is; the result is the last.

        It goes on when nobody listens any more: a page that is closed leaves no half of what was asked for.
        """
        told: asyncio.Queue[Step | Result] = asyncio.Queue()
        task = asyncio.create_task(self._change(arguments, folder, told))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        while True:
            step = await told.get()
            yield step
            if isinstance(step, Result):
                return

    async def _change(self, arguments: tuple[str, ...], folder: Path, told: asyncio.Queue[Step | Result]) -> None:
        name, *rest = arguments
        try:
            async with self._changing, aclosing(self._run((name, "--progress", *rest), folder)) as steps:
                async for step in steps:
                    told.put_nowait(step)
        except Exception as error:
            log.exception("a command for documents cannot be run", command=name)
            told.put_nowait(Result(problem=f"it cannot be run: {error}"))

    async def close(self) -> None:
        """End what is under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, arguments: tuple[str, ...], folder: Path) -> AsyncGenerator[Step | Result]:
        name, *rest = arguments
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli", "kb", name, "--json", *rest),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=folder,
            env=environment_with(FENNEL_HOME=str(self._settings.home)),
            limit=MAX_LINE_BYTES,
        )
        assert process.stdout is not None  # noqa: S101 -- it was asked for
        printing = asyncio.create_task(process.stdout.read())
        said: list[str] = []
        try:
            async for step in _steps(process, said):
                yield step
            body = _object(await printing)
            code = await process.wait()
        finally:
            await _end(process)
            printing.cancel()
        if body is not None:
            yield Result(body)
        else:
            log.warning("a command for documents failed", command=name, code=code, said="\n".join(said)[-2000:])
            yield Result(problem=_sentence(said))


async def _steps(process: Process, said: list[str]) -> AsyncIterator[Step]:
    """The steps that it tells on its standard error; everything else there is kept in `said`."""
    assert process.stderr is not None  # noqa: S101 -- it was asked for
    async for line in process.stderr:
        body = _object(line)
        if body is not None and {"what", "done", "whole"} <= body.keys():
            yield Step(str(body["what"]), int(body["done"]), int(body["whole"] or 0))
        else:
            said.append(line.decode("utf-8", "replace").rstrip())


async def _end(process: Process) -> None:
    """End it where it still runs: nobody waits for it any more."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _object(printed: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(printed)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _sentence(said: list[str]) -> str:
    """The sentence with which the command failed."""
    lines = [line.removeprefix("fennel: ").removeprefix("Error: ") for line in said if line.strip()]
    return lines[-1][:_SAID_CHARACTERS] if lines else "the command ended without a word"
