"""A rolling restart: one program after another, each well again before the next, so that somebody always answers.

Workers first, because they read what older bots write; then the bots, whose links are gone for a moment; then the rest.
Redis and supervisord stay.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from xmlrpc.client import Fault

import click
import redis

from cli import standalone
from cli.down import BOT_STOP_S, KILL_S
from cli.readiness import POLL_S, REDIS_STEP_S, START_MARGIN_S, Deaths, ReadinessBar
from cli.stack import Program, Stack, StackError
from config.redis_clients import threads_client
from config.settings import Settings
from contract import names
from health.client import ask_programs
from health.engine_state import EngineState

BOT_READY_S = 60.0
"""Longer than a link takes that is refused at first, as by a platform that counts connections."""
NEVER_ROLLED = ("redis",)

IsReady = Callable[[Program, ReadinessBar], bool]


class Roll:
    """Restarts the programs of one stack, one after another."""

    def __init__(self, stack: Stack, settings: Settings) -> None:
        self._stack = stack
        self._settings = settings

    def run(self) -> None:
        """Restart all; raises StackError at the first that does not come up, and leaves the others as they are."""
        if standalone.holder(self._settings) is not None:
            raise StackError("Fennel is running in another terminal, where nothing can be restarted by itself")
        with _alone(self._settings):
            programs = sorted(
                (one for one in self._stack.programs() if one.name not in NEVER_ROLLED), key=lambda one: _rank(one)
            )
            for number, program in enumerate(programs):
                started_s = time.monotonic()
                try:
                    what = self._restart(program, f"[{number + 1}/{len(programs)}] {program.name}")
                except StackError as error:
                    raise StackError(_stopped(program, programs[number + 1 :], error)) from error
                click.echo(f"{program.name} {what} ({time.monotonic() - started_s:.1f} s).")
            self._tell_what_is_left()

    def _restart(self, program: Program, title: str) -> str:
        """Stop it, start it, and return when it is well again; says how it stands then."""
        kind = _kind(program)
        stop_s = self._stack.stop_wait_s + KILL_S if kind == "worker" else BOT_STOP_S
        with ReadinessBar() as bar:
            if program.running:
                bar.show(f"{title}: ends what it has in hand", 0.0)
                self._stop(program, stop_s)
            with contextlib.suppress(Fault):  # somebody was quicker
                self._stack.start_program(program.full_name)
            bar.show(f"{title}: starts", 0.0)
            if kind == "worker":
                timeout_s = self._settings.engine.start_timeout_s + START_MARGIN_S
                return self._wait(program, timeout_s, lambda now, bar: self._is_engine_ready(now, title, bar), bar)
            is_up = self._is_link_up if kind == "bot" and self._settings.health.port >= 0 else _runs
            return self._wait(program, BOT_READY_S, is_up, bar)

    def _stop(self, program: Program, stop_s: float) -> None:
        try:
            self._stack.stop_programs([program], stop_s)
        except KeyboardInterrupt:
            click.echo(f"Breaking off; {program.name} is started again first.", err=True)
            self._stack.stop_programs([program], stop_s)
            self._stack.start_program(program.full_name)
            raise

    def _wait(self, before: Program, timeout_s: float, is_ready: IsReady, bar: ReadinessBar) -> str:
        deaths = Deaths(self._stack)
        end_s = time.monotonic() + timeout_s
        while True:
            (now,) = (one for one in self._stack.programs() if one.full_name == before.full_name)
            deaths.count([now])
            if now.state == "EXITED" and now.exit_code == 0:
                return "is not set up"
            if now.state == "RUNNING" and is_ready(now, bar):
                return "is ready" if _kind(now) else "was started"
            if time.monotonic() > end_s:
                raise StackError(
                    f"{now.name} was not ready within {timeout_s:.0f} s ({self._why(now)}); "
                    f"`fennel doctor` and `fennel logs {now.name}` tell more."
                )
            time.sleep(POLL_S)

    def _is_engine_ready(self, now: Program, title: str, bar: ReadinessBar) -> bool:
        state = self._engine(now)
        if state.state == "failed":
            raise StackError(f"the engine of {now.name} cannot start: {state.error}.")
        bar.show(f"{title}: {state.what or state.state or 'starts'}", state.progress)
        return state.ready

    def _engine(self, now: Program) -> EngineState:
        """What the worker's engine says; nothing where that is of an earlier process."""
        try:
            with threads_client(self._settings.redis_address, REDIS_STEP_S) as client:
                key = names.engine_key(self._settings.worker_name(now.name))
                state = EngineState.read(now.name, client.hgetall(key))
        except redis.RedisError as error:
            return EngineState(now.name, error=f"Redis does not answer: {error}")
        return state if state.pid == now.pid else EngineState(now.name)

    def _is_link_up(self, now: Program, _bar: ReadinessBar) -> bool:
        return any(
            finding.is_well
            for health in ask_programs(self._settings)
            for finding in health.findings
            if health.program == now.name and finding.subject == "link"
        )

    def _why(self, now: Program) -> str:
        """Why a program is not ready, as far as it says."""
        if _kind(now) == "worker":
            state = self._engine(now)
            return state.error or state.what or f"it is {now.state}"
        said = [
            finding.says
            for health in ask_programs(self._settings)
            for finding in health.findings
            if health.program == now.name and not finding.is_well
        ]
        return "; ".join(said) or f"it is {now.state}"

    def _tell_what_is_left(self) -> None:
        """What a roll cannot do: supervisord keeps its own form and the environment that it was started in."""
        changed = self._stack.changed_programs()
        workers = sum(_kind(one) == "worker" for one in self._stack.programs())
        if changed:
            click.echo(f"supervisord.conf says something new of {', '.join(changed)}: `fennel restart` makes it count.")
        if workers != self._settings.worker.processes:
            click.echo(
                f"worker.processes is {self._settings.worker.processes}, and {workers} run: "
                f"`fennel restart` makes it count."
            )


@contextlib.contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    settings.make_folders()
    with (settings.run_folder / "roll.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError("another rolling restart is under way; wait until it has ended") from error
        yield


def _kind(program: Program) -> str:
    return "worker" if program.group == "worker" else "bot" if program.name.startswith("bot_") else ""


def _rank(program: Program) -> tuple[int, str]:
    return ("worker", "bot", "").index(_kind(program)), program.name


def _runs(_now: Program, _bar: ReadinessBar) -> bool:
    return True


def _stopped(program: Program, untouched: list[Program], error: StackError) -> str:
    names_left = ", ".join(one.name for one in untouched if one.running)
    left = f"{names_left} were not touched and go on as before" if names_left else "nothing else was left to restart"
    return (
        f"the roll stops at {program.name}: {error}\n{left}. Mend it, or put the version before back, "
        f"then run `fennel restart --rolling` again."
    )
