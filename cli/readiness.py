"""Readiness: waits until Redis answers and every engine has answered its warm-up question, showing how far it is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import click
import redis
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.stack import Program, StackError
from cli.terminal_bar import TerminalBar
from config.redis_clients import threads_client
from config.redis_trouble import trouble
from config.settings import Settings
from health.engine_state import EngineState, read_states

POLL_S = 0.2
REDIS_TIMEOUT_S = 30.0
REDIS_STEP_S = 5.0
START_MARGIN_S = 60.0
"""How much longer than the engine's own time limit its worker may take to say that it failed."""
LOG_LINES = 12
MAX_DEATHS = 3


class Programs(Protocol):
    """Who keeps the programs up: supervisord, or a process in a terminal."""

    def programs(self) -> list[Program]:
        """How they stand."""

    def log_tail(self, program: str, lines: int) -> list[str]:
        """The last lines that one printed."""


class ReadinessBar(TerminalBar):
    """A progress bar on a terminal, and one line for each new step elsewhere."""

    def __init__(self) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
        )
        super().__init__(*columns, what="starting", whole=1.0)
        self._shown = ""

    def show(self, what: str, share: float) -> None:
        """Tell what is being done, and which share of it is done, 0 to 1."""
        self.update(what, completed=share)
        if what != self._shown and not self.console.is_terminal:
            click.echo(f"… {what}", err=True)
        self._shown = what


class Deaths:
    """Counts how often each program ended right after its start, and has enough of it before supervisord has."""

    def __init__(self, stack: Programs) -> None:
        self._stack = stack
        self._states: dict[str, str] = {}
        self._deaths: Counter[str] = Counter()

    def count(self, programs: Sequence[Program]) -> None:
        """Look at the programs again; raises StackError for one that does not come up, with the end of its log."""
        for program in programs:
            if program.state == "BACKOFF" and self._states.get(program.name) != "BACKOFF":
                self._deaths[program.name] += 1
            self._states[program.name] = program.state
            if program.state == "FATAL" or self._deaths[program.name] >= MAX_DEATHS:
                raise StackError(self._sentence(program.name))

    def _sentence(self, program: str) -> str:
        lines = self._stack.log_tail(program, LOG_LINES)
        said = "".join(f"\n    {line}" for line in lines) or "\n    (nothing)"
        return (
            f"{program} ends whenever it is started; its log says:{said}\n"
            f"Mend that, then run `fennel restart`; `fennel logs {program}` shows more."
        )


def wait_until_ready(stack: Programs, settings: Settings) -> None:
    """Return when questions are answered; raises StackError as soon as they cannot be, with what the log says."""
    end_s = time.monotonic() + settings.engine.start_timeout_s + START_MARGIN_S
    pids: set[int] = set()
    deaths = Deaths(stack)
    with ReadinessBar() as bar, threads_client(settings.redis_address, REDIS_STEP_S) as client:
        _wait_for_redis(stack, settings, client, bar)
        # A host without workers is ready for those of other hosts.
        while settings.worker.processes:
            programs = stack.programs()
            deaths.count(programs)
            pids.update(program.pid for program in programs)
            # What a worker of an earlier start said is still in Redis for a while.
            states = [
                state if state.pid in pids else EngineState(state.worker) for state in read_states(client, settings)
            ]
            _refuse_failed(states)
            if all(state.ready for state in states):
                return
            if time.monotonic() > end_s:
                raise StackError("the model is not ready in time; `fennel status` shows how far it is")
            bar.show(_step(states, programs), sum(state.progress for state in states) / len(states))
            time.sleep(POLL_S)


def _wait_for_redis(stack: Programs, settings: Settings, client: redis.Redis, bar: ReadinessBar) -> None:
    end_s = time.monotonic() + REDIS_TIMEOUT_S
    deaths = Deaths(stack)
    bar.show("starting Redis", 0.0)
    while True:
        try:
            client.ping()
            return
        except redis.RedisError as error:
            deaths.count([program for program in stack.programs() if program.name == "redis"])
            what = trouble(error, settings.redis_address)
            if not what.may_pass or time.monotonic() > end_s:
                raise StackError(str(what)) from error
        time.sleep(POLL_S)


def _refuse_failed(states: Sequence[EngineState]) -> None:
    for state in states:
        if state.state == "failed":
            raise StackError(f"the engine of {state.worker} cannot start: {state.error}")


def _step(states: Sequence[EngineState], programs: Sequence[Program]) -> str:
    for state in states:
        if state.ready:
            continue
        if any(program.name == state.worker and program.state == "BACKOFF" for program in programs):
            return f"{state.worker}: ended, starts again; `fennel logs {state.worker}` may tell why"
        return f"{state.worker}: {state.what or state.state or 'starting'}"
    return "ready"
