"""A real stack with a bot in a fake Slack where people go on asking."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cli.stack_home import TIMEOUT_S, StackHome, stack_home
from tests.fakes.slack.fake import FakeSlack
from tests.waiting import until

PAUSE_S = 0.25
CHANNELS = 12
DOCUMENT = "# Tides\n\n## Gauges\n\nThe gauge at the north pier is read every six minutes and calibrated in May.\n"


class Stage:
    """Two workers with the echo engine and a bot in a fake Slack; the settings stand in the home folder's file."""

    def __init__(self, home: StackHome, slack: FakeSlack) -> None:
        self.home = home
        self.slack = slack
        self.asked: list[tuple[str, str]] = []
        home.home.mkdir(mode=0o700)
        self.write(kind="echo")

    def write(self, kind: str, model: str = "none") -> None:
        """Write the settings' file."""
        lines = ["[engine]", f'kind = "{kind}"', f'model = "{model}"', "[slack]"]
        lines += [
            f'{name.removeprefix("FENNEL_SLACK__").lower()} = "{value}"' for name, value in self.slack.urls().items()
        ]
        lines += ["[limits]", "person_questions = 0", "group_questions = 0", "overall_questions = 0"]
        file = self.home.home / "fennel.toml"
        file.write_text("\n".join(lines))
        file.chmod(0o600)

    def ask(self) -> None:
        """One question more, in a thread of its own; of one channel Slack takes a message a second."""
        text = f"<@UBOT> How often is the gauge at the north pier read? ({len(self.asked)})"
        channel = f"C{len(self.asked) % CHANNELS}"
        self.asked.append((channel, self.slack.happen("app_mention", channel=channel, text=text)["ts"]))

    def pids(self) -> dict[str, int]:
        """The process of each program that runs."""
        return {name: one["pid"] for name, one in self.home.programs().items() if one["pid"]}

    def unanswered(self) -> dict[str, list[str]]:
        """Questions that do not have their one message, with the answer in it; and what they have."""
        shown = {ts: [one.shown for one in self.slack.answers(channel, ts)] for channel, ts in self.asked}
        return {ts: texts for ts, texts in shown.items() if [" every six minutes " in one for one in texts] != [True]}

    def wait_until_answered(self) -> None:
        """Raises AssertionError where a question is not answered once in time."""
        end_s = time.monotonic() + TIMEOUT_S
        with self.home.redis() as client:
            while (left := self.unanswered()) or client.zcard("fennel:open:slack"):
                assert time.monotonic() < end_s, f"of {len(self.asked)} questions these have another answer: {left}"
                time.sleep(0.1)


class Talk:
    """Asks all the while, in a thread of its own."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._talk)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _talk(self) -> None:
        while not self._over.wait(PAUSE_S):
            self._stage.ask()


@contextmanager
def slack_stage() -> Iterator[Stage]:
    """Up and ready, with one document."""
    with (
        FakeSlack(enforce_rates=False) as slack,
        stack_home(FENNEL_WORKER__PROCESSES="2", FENNEL_WORKER__DRAIN_S="2") as home,
    ):
        del home.settings["FENNEL_ENGINE__KIND"]
        one = Stage(home, slack)
        (home.folder / "tides.md").write_text(DOCUMENT)
        for command in (("kb", "add", str(home.folder / "tides.md")), ("up", "--wait")):
            done = home.fennel(*command)
            assert done.returncode == 0, done.stderr
        until(lambda: slack.connected() > 0)
        yield one
