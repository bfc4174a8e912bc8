"""Each part of a running stack is broken and mended, and `fennel status`, `doctor` and `/readyz` tell which it is."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from bot.health import BotHealth
from cli.doctor import examine
from cli.overview import look
from config.environment import CHECKOUT
from config.loading import load_settings
from config.settings import Settings
from contract.finding import Finding
from health import surroundings
from health.client import ask_programs
from tests.cli.stack_home import StackHome, stack_home
from tests.waiting import until

WITHIN_S = 60.0
Seen = dict[str, str]
"""What is broken, by subject, as one view tells it."""


class FakeSlackProcess:
    """A fake Slack that can be killed and come back at its port."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        """Listen, at the same port as before."""
        port = re.search(r":(\d+)/", self.settings.get("api_url", ":0/"))
        assert port is not None
        command = [sys.executable, "-m", "tests.fakes.slack", "--port", port[1]]
        self._process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        for _ in range(4):
            name, _, value = self._process.stdout.readline().strip().partition("=")
            self.settings[name.removeprefix("FENNEL_SLACK__").lower()] = value

    def kill(self) -> None:
        """Be gone at once."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate()
            self._process = None


class Stage:
    """A stack with a bot in a fake Slack, whose settings stand in its home folder's file."""

    def __init__(self, home: StackHome) -> None:
        self.home = home
        self.slack = FakeSlackProcess()
        home.home.mkdir(mode=0o700)
        self.write()

    def write(self, *, app_token: str = "", kind: str = "echo", model: str = "none") -> None:
        """Write the settings' file."""
        slack = {**self.slack.settings, **({"app_token": app_token} if app_token else {})}
        lines = ["[engine]", f'kind = "{kind}"', f'model = "{model}"', "[slack]"]
        lines += [f'{key} = "{value}"' for key, value in slack.items()]
        file = self.home.home / "fennel.toml"
        file.write_text("\n".join(lines))
        file.chmod(0o600)

    def supervisorctl(self, *words: str) -> None:
        """Run supervisorctl."""
        self.home.run("supervisorctl", *words)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Up and ready; each test mends what it breaks."""
    with stack_home() as home:
        del home.settings["FENNEL_ENGINE__KIND"]
        one = Stage(home)
        try:
            started = home.fennel("up", "--wait")
            assert started.returncode == 0, started.stderr
            yield one
        finally:
            one.slack.kill()


@pytest.fixture
def load(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Settings]:
    """The stack's settings as they are now."""
    for name, value in stage.home.settings.items():
        monkeypatch.setenv(name, value)
    return load_settings


@dataclass(frozen=True)
class Break:
    """`word` stands in what each view says of it, and of no other break."""

    name: str
    subject: str
    word: str
    begin: Callable[[Stage], None]
    end: Callable[[Stage], None]


def refuse_token(stage: Stage) -> None:
    stage.write(app_token="xapp-revoked")
    stage.supervisorctl("restart", "bot_slack")


def allow_token(stage: Stage) -> None:
    stage.write()
    stage.supervisorctl("restart", "bot_slack")


def take_model_away(stage: Stage) -> None:
    stage.write(kind="transformers", model=str(stage.home.folder / "model"))
    stage.supervisorctl("restart", "worker:worker_0")


def put_model_back(stage: Stage) -> None:
    stage.write()
    stage.supervisorctl("restart", "worker:worker_0")


BREAKS = (
    Break(
        "redis",
        "Redis",
        "does not answer",
        lambda stage: stage.supervisorctl("stop", "redis"),
        lambda stage: stage.supervisorctl("start", "redis"),
    ),
    Break(
        "engine",
        "engine",
        "was stopped",
        lambda stage: stage.supervisorctl("stop", "worker:worker_0"),
        lambda stage: stage.supervisorctl("start", "worker:worker_0"),
    ),
    Break(
        "link",
        "link|reach|slack",
        "is down|cannot be reached|does not answer as Slack",
        lambda stage: stage.slack.kill(),
        lambda stage: stage.slack.start(),
    ),
    Break("disk", "disk", "MB left", lambda _: None, lambda _: None),
    Break("token", "token|link", "invalid_auth|refuses", refuse_token, allow_token),
    Break("model", "model", "does not exist", take_model_away, put_model_back),
)


def in_status(settings: Settings) -> Seen:
    return {problem["subject"]: problem["says"] for problem in look(settings)["problems"]}


def in_readyz(settings: Settings) -> Seen:
    """What the bot answers; where it is just being started anew, nothing yet."""
    bots = [health for health in ask_programs(settings) if health.program == "bot_slack"]
    return _ill(list(bots[0].findings)) if bots else {}


def in_doctor(settings: Settings) -> Seen:
    return _ill(examine(settings))


def _ill(findings: list[Finding]) -> Seen:
    return {one.subject: one.says for one in findings if not one.is_well}


def tells(seen: Seen, broken: Break) -> bool:
    """Whether a view tells this break."""
    return any(re.search(broken.subject, subject) and re.search(broken.word, says) for subject, says in seen.items())


@pytest.mark.parametrize("broken", BREAKS, ids=lambda one: one.name)
def test_each_view_tells_the_break_apart(
    stage: Stage, load: Callable[[], Settings], monkeypatch: pytest.MonkeyPatch, broken: Break
) -> None:
    """Each view names the broken part and no other one, with a cure, and is content when it is mended."""
    until(lambda: not in_status(load()) and not in_readyz(load()))
    is_disk = broken.name == "disk"
    broken.begin(stage)
    try:
        with monkeypatch.context() as patched:
            if is_disk:
                patched.setattr(surroundings, "FREE_MB", 10**9)
                patched.setattr("cli.preflight.FREE_MB", 10**9)
            bot = BotHealth("slack", "bot_slack", load())

            def readyz() -> Seen:
                # What another process sees of the disk cannot be changed from here.
                return _ill(bot.findings()[1:]) if is_disk else in_readyz(load())

            until(lambda: tells(in_status(load()), broken))
            until(lambda: tells(readyz(), broken))
            views = {"status": in_status(load()), "doctor": in_doctor(load())}
            until(lambda: tells(readyz(), broken))
            views["readyz"] = readyz()
            if broken.name == "model":
                waiting = stage.home.fennel("up", "--wait")
    finally:
        broken.end(stage)

    if broken.name == "model":  # whoever waits for it gets the engine's own sentence
        assert (waiting.returncode, "Traceback" in waiting.stderr) == (1, False)
        assert "fennel: the engine of worker_0 cannot start: " in waiting.stderr
        assert str(stage.home.folder / "model") in waiting.stderr
    for view, seen in views.items():
        assert (view, seen, [one.name for one in BREAKS if tells(seen, one)]) == (view, seen, [broken.name])
    until(lambda: not in_status(load()) and not in_readyz(load()))
