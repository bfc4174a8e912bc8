"""``python -m cli.watchdog``: supervisord's event listener, which does not leave a program FATAL.

supervisord gives a program up after some failed starts, and nobody may be looking. This starts it again, after pauses
that grow, and tells: in its log, in `fennel status`, and in its metrics.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xmlrpc.client import Fault

import structlog
from prometheus_client import Counter, Gauge
from supervisor.childutils import get_headers, listener

from cli.stack import Stack, StackError
from config.environment import supervised_program
from config.loading import load_settings
from config.logging import configure_logging
from config.settings import Settings
from contract.errors import FennelError
from contract.finding import Finding
from health import surroundings
from health.backoff import pause_s
from health.last_error import note_error, note_well
from health.parent import end_with_parent
from health.server import HealthServer

STAYS_WELL_S = 60.0
"""One that has run for as long has mended itself."""
STUCK_AFTER_S = 30.0
"""supervisord ticks every five seconds."""

fatal = Counter("fennel_program_fatal", "Times that supervisord gave a program up.", ["program"])
up = Gauge("fennel_program_up", "1 while supervisord keeps a program running.", ["program"])
log = structlog.get_logger(__name__)


@dataclass
class Failing:
    """A program that was given up. `at_s`: when it is tried again, or, once it runs, when it counts as well."""

    full_name: str
    failures: int
    at_s: float
    runs: bool = False


class Watchdog:
    """What became of programs that supervisord gave up. `start` starts one by its full name."""

    def __init__(
        self, settings: Settings, start: Callable[[str], None], now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._start = start
        self._now_s = now_s
        self._failing: dict[str, Failing] = {}
        self.heard_at_s = now_s()

    def take(self, event: str, payload: Mapping[str, str]) -> None:
        """Take one of supervisord's events in."""
        self.heard_at_s = self._now_s()
        name, group = payload.get("processname", ""), payload.get("groupname", "")
        if event == "PROCESS_STATE_FATAL":
            self._given_up(name, f"{group}:{name}")
        elif event == "PROCESS_STATE_RUNNING":
            up.labels(name).set(1)
            if name in self._failing:
                self._failing[name].runs = True
                self._failing[name].at_s = self._now_s() + STAYS_WELL_S
        elif event.startswith("PROCESS_STATE_"):
            up.labels(name).set(0)
            if event == "PROCESS_STATE_STOPPED":  # a person did that
                self._failing.pop(name, None)
            elif name in self._failing:
                self._failing[name].runs = False
        elif event.startswith("TICK_"):
            self._tick()

    def is_alive(self) -> bool:
        """Whether supervisord is still heard."""
        return self._now_s() - self.heard_at_s < STUCK_AFTER_S

    def findings(self) -> list[Finding]:
        """The programs that were given up, and the disk."""
        given_up = [
            Finding(name, False, f"supervisord gave it up {one.failures} times", f"fennel logs {name}")
            for name, one in list(self._failing.items())
            if not one.runs
        ]
        return [surroundings.disk(self._settings), *given_up]

    def _given_up(self, name: str, full_name: str) -> None:
        up.labels(name).set(0)
        fatal.labels(name).inc()
        failures = self._failing[name].failures + 1 if name in self._failing else 1
        wait_s = pause_s(failures)
        self._failing[name] = Failing(full_name, failures, self._now_s() + wait_s)
        log.error("a program does not start", program=name, failures=failures, again_in_s=wait_s)
        tail = Stack(self._settings).log_tail(name, 1)
        note_error(self._settings, name, f"supervisord gave it up; its log ends with: {tail[0] if tail else 'nothing'}")

    def _tick(self) -> None:
        for name, one in list(self._failing.items()):
            if self._now_s() < one.at_s:
                continue
            if one.runs:
                log.info("a program is well again", program=name)
                del self._failing[name]
                note_well(self._settings, name)
                continue
            # Should this try come to nothing, the event FATAL says so; should that be missed, the next tick tries.
            one.at_s = self._now_s() + pause_s(one.failures)
            try:
                self._start(one.full_name)
                log.warning("a program is tried again", program=name)
            except (StackError, Fault) as error:
                log.warning("a program cannot be tried again", program=name, error=str(error))


def main() -> int:
    """Listen to supervisord for as long as it lives."""
    end_with_parent()
    try:
        settings = load_settings()
        configure_logging(settings.log, secrets=settings.secrets)
        watchdog = Watchdog(settings, Stack(settings).start_program)
        with HealthServer(supervised_program() or "watchdog", settings, watchdog.is_alive, watchdog.findings):
            while True:
                headers, payload = listener.wait(sys.stdin, sys.stdout)
                is_process = headers["eventname"].startswith("PROCESS_STATE_")
                watchdog.take(headers["eventname"], get_headers(payload) if is_process else {})
                listener.ok(sys.stdout)
    except FennelError as error:
        print(f"fennel: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
