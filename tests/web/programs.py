"""The programs that a browser is shown: a bot that serves the page, and somebody who answers for a worker."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import redis.asyncio

from bot.feedback import all_feedback
from bot.redis_link import plain_client
from config.environment import CHECKOUT
from config.redis_address import RedisAddress
from contract import names
from contract.answer import Citation, FinalAnswer, Outcome
from contract.question import Question
from contract.why import FoundPassage, Why
from tests.bot.answering import finish, look, publish

WITHIN_S = 60.0
_URL = re.compile(r"the web page is open.*?url=(\S+)")
_TABS_READY = "the operators' tabs are ready"
_COLOR = re.compile(r"\x1b\[[0-9;]*m")


class PageProgram:
    """``python -m bot web``, or with `whole` also Redis and a worker with the engine that echoes."""

    def __init__(self, home: Path, settings: Mapping[str, str], *, whole: bool = False) -> None:
        self.home = home
        self._whole = whole
        self._settings = {"FENNEL_HOME": str(home), "FENNEL_WEB__PORT": "0", "PYTHONUNBUFFERED": "1", **settings}
        self._process: subprocess.Popen[str] | None = None
        self._said: list[str] = []
        self.url = ""
        self.open_s = self.ready_s = 0.0

    def start(self) -> None:
        """Start it, and return when the page is open with its tabs."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("FENNEL_")}
        self._said = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bot", "web", *(["--standalone"] if self._whole else [])],
            cwd=CHECKOUT,
            env={**own, **self._settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        began_s = time.monotonic()
        threading.Thread(target=self._keep, args=(self._process,), daemon=True).start()
        self.url = self.until(_URL.pattern)
        self.open_s = time.monotonic() - began_s
        self.until(_TABS_READY)
        self.ready_s = time.monotonic() - began_s
        if self._whole:
            self.until("Fennel is ready")
        # The next start listens where this one did, as in use.
        self._settings["FENNEL_WEB__PORT"] = self.url.rstrip("/").rpartition(":")[2]

    def until(self, pattern: str) -> str:
        """What it says that fits the pattern (its first group), once it does."""
        end_s = time.monotonic() + WITHIN_S
        while True:
            found = re.search(pattern, "".join(self._said))
            if found:
                return found[1] if found.groups() else found[0]
            assert time.monotonic() < end_s, "".join(self._said)
            time.sleep(0.05)

    def fennel(self, *arguments: str) -> None:
        """Run a command for this home folder."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("FENNEL_")}
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=CHECKOUT,
            env={**own, **self._settings},
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
        )
        assert done.returncode == 0, done.stderr

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it at once, with everything that it has not written down."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop it as supervisord does."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(WITHIN_S)
        finally:
            self._process.kill()

    def _keep(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                self._said.append(_COLOR.sub("", line))


@contextlib.contextmanager
def running(program: PageProgram) -> Iterator[PageProgram]:
    """The program while the block runs."""
    try:
        program.start()
        yield program
    finally:
        program.stop()


class Answering:
    """Answers one question after another as a test says, in the words of the contract."""

    def __init__(self, url: str) -> None:
        self._client: redis.asyncio.Redis = plain_client(RedisAddress.of_url(url))

    async def next(self) -> Question:
        """The next question, left in the queue until it is ended."""
        end_s = time.monotonic() + WITHIN_S
        while (question := await look(self._client)) is None:
            assert time.monotonic() < end_s, "nobody asks"
            await asyncio.sleep(0.01)
        return question

    async def first(self) -> Question:
        """The next question, which nobody has begun."""
        end_s = time.monotonic() + WITHIN_S
        while not (waiting := await self._client.lrange(names.QUEUE_KEY, 0, 0)):
            assert time.monotonic() < end_s, "nobody asks"
            await asyncio.sleep(0.01)
        wire = await self._client.get(names.question_key(str(waiting[0])))
        return Question.from_wire(str(wire))

    async def verdicts(self) -> list[str]:
        """What people think of the answers."""
        return [one.verdict async for one in all_feedback(self._client)]

    async def grow(self, question: Question, text: str) -> None:
        """The answer as far as it is made."""
        await publish(self._client, question, text)

    async def end(self, question: Question, text: str, *citations: Citation) -> None:
        """The answer."""
        await finish(self._client, FinalAnswer(question.to_wire(), Outcome.ANSWERED, text, citations, total_ms=1200))

    async def because(self, question: Question) -> None:
        """Write down what the gate made of the question."""
        found = FoundPassage("Holidays", "handbook/holidays.md", 0.75, 0.5, 0.25, True)
        numbers = {"decided_at_s": time.time(), "score": 0.75, "min_score": 0.5}
        words = {"outcome": "answered", "verdict": "answer", "heard": "mention", "written_by": "model", "model": "m"}
        why = Why(question.id, sure=True, with_thread=False, passages=(found,), **numbers, **words)  # type: ignore[arg-type]
        await self._client.set(names.why_key(question.id), why.to_wire())

    async def clear_rooms(self) -> None:
        """Forget what was said in the rooms, and what waits."""
        kept = [key async for key in self._client.scan_iter(match="fennel:web:[op]*")]
        await self._client.delete(names.QUEUE_KEY, *kept)

    async def close(self) -> None:
        """Give the connection back."""
        await self._client.aclose()
