"""Every command that a page tells a reader to type is tried: for real where that is possible, else as far as it is.

`WAYS` says openly in which way each is tried; a command that fits none of them fails the test.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
import yaml  # type: ignore[import-untyped]

from cli.main import fennel
from config.environment import CHECKOUT
from config.loading import load_settings
from config.settings import DEFAULTS_FILE
from pages.commands import TARGET
from tests.cli.stack_home import StackHome, stack_home
from tests.docs.pages import commands, pages, text_of_docs
from tests.port import free_port

BIN = Path(sys.executable).parent
FOR_EVER_S = 8.0
"""How long a command is looked at that would run until somebody stops it."""


@pytest.fixture(scope="module")
def home() -> Iterator[StackHome]:
    """A running stack with an echo engine, in a folder that has what the pages' examples name."""
    with stack_home() as home:
        folder = home.folder
        (folder / ".venv").symlink_to(BIN.parent)
        for name in ("examples", "deploy", "config"):
            (folder / name).symlink_to(CHECKOUT / name)
        shutil.copytree(CHECKOUT / "examples/handbook/en", folder / "handbook")
        shutil.copytree(CHECKOUT / "examples/handbook/zh", folder / "hr")
        shutil.copy(CHECKOUT / "tests/data/documents/good/stations.pdf", folder / "report.pdf")
        shutil.copy(CHECKOUT / "tests/data/documents/good/faq.csv", folder / "faq.csv")
        assert home.fennel("up", "--wait").returncode == 0
        yield home


def shell(command: str, home: StackHome, timeout_s: float = 90.0) -> tuple[int, str]:
    """Run the line as a reader's shell would; the exit code and what it printed. 124: it ran for ever."""
    environment = {**home.environment(), "HOME": str(home.folder), "PATH": f"{BIN}:{os.environ['PATH']}"}
    run = subprocess.run(
        ["timeout", "--signal=INT", str(timeout_s), "bash", "-c", command],
        cwd=home.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return run.returncode, run.stdout + run.stderr


def for_real(command: str, home: StackHome) -> None:
    """It is run, and succeeds."""
    code, said = shell(command, home)
    assert code == 0, said


def for_real_or_not_found(command: str, home: StackHome) -> None:
    """It is run; a question that the sample handbook does not answer is told so by exit code 3."""
    code, said = shell(command, home)
    assert code in (0, 3), said


def a_finding_is_told(command: str, home: StackHome) -> None:
    """It is run; this machine may lack something, which it has to say in its own words."""
    code, said = shell(command, home)
    assert code in (0, 1), said
    assert "Traceback" not in said


def until_stopped(command: str, home: StackHome) -> None:
    """It is run for some seconds, goes on, and prints something."""
    code, said = shell(command, home, FOR_EVER_S)
    assert code in (0, 124, 130), said
    assert said


def on_a_free_port(command: str, home: StackHome) -> None:
    """It is run for some seconds; the page's own port may be somebody else's here."""
    until_stopped(f"FENNEL_WEB__PORT={free_port()} {command}", home)


def with_our_makefile(command: str, home: StackHome) -> None:
    """It is run with our Makefile in the home's folder, for `make venv` would do it to this checkout."""
    for_real(command.replace("make ", f"make -f {CHECKOUT / 'Makefile'} -o .venv/.installed ", 1), home)
    assert home.fennel("up", "--wait").returncode == 0


def with_backups(command: str, home: StackHome) -> None:
    """It is run with a folder of the home's in place of `/backups`, and Fennel goes on as the next command wants it."""
    folder = home.folder / "backups"
    folder.mkdir(exist_ok=True)
    if " restore " in command:
        assert home.fennel("backup", str(folder / "fennel.tar.gz")).returncode == 0
        assert home.fennel("down").returncode == 0
    for_real(command.replace("/backups", str(folder)), home)
    assert home.fennel("up", "--wait").returncode == 0


def after_a_first_sync(command: str, home: StackHome) -> None:
    """It is run; what it follows is a folder here, and on the page a repository of another host."""
    assert home.fennel("kb", "sync", str(home.folder / "handbook")).returncode == 0
    for_real(command, home)


def with_a_password(command: str, home: StackHome) -> None:
    """It is run, and given what a person would type."""
    for_real(f"echo a-long-password | {command}", home)


def in_the_checkout(command: str, home: StackHome) -> None:
    """It is run where a contributor would run it."""
    del home
    run = subprocess.run(shlex.split(command.replace("python", sys.executable, 1)), cwd=CHECKOUT, capture_output=True)
    assert run.returncode == 0, run.stdout.decode()


def read_by_make(command: str, home: StackHome) -> None:
    """Make knows it. It would install into this checkout, run the suite within the suite, or start another stack."""
    del home
    run = subprocess.run(["make", "-n", *shlex.split(command)[1:]], cwd=CHECKOUT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def read_by_fennel(command: str, home: StackHome) -> None:
    """The command line takes it; it fetches from a host of others, which tests of its own have beside them."""
    del home
    assert_parses(shlex.split(command)[1:])


def read_by_its_program(command: str, home: StackHome) -> None:
    """Its program has these options; the port that it opens may be somebody else's here."""
    program, *words = shlex.split(re.sub(r'^\w+="\$\(.*?\)" (\.venv/bin/)?', "", command))
    code, said = shell(f"{program} --help", home)
    assert code == 0
    assert [word for word in words if word.startswith("--") and word not in said] == []


def settings_are_taken(command: str, home: StackHome) -> None:
    """The setting exists and takes such a value."""
    name, _, value = command.partition("=")
    with pytest.MonkeyPatch.context() as patch:
        for known in [one for one in os.environ if one.startswith("FENNEL_")]:
            patch.delenv(known)
        patch.setenv("FENNEL_HOME", str(home.home))
        patch.setenv(name, value)
        assert load_settings()


def compose_has_it(command: str, home: StackHome) -> None:
    """Docker is not here: the file and the services that it names are."""
    del home
    words = shlex.split(command)
    file = CHECKOUT / words[words.index("-f") + 1]
    services = yaml.safe_load(file.read_text())["services"]
    assert "exec" not in words or words[words.index("exec") + 1] in services


def a_module_is_there(command: str, home: StackHome) -> None:
    """The module is there; another test runs it."""
    del home
    assert find_spec(shlex.split(command)[2])


def others_do_it(command: str, home: StackHome) -> None:
    """A program that is no part of ours, or a line that only moves files about."""
    del command, home


Way = Callable[[str, StackHome], None]
# The first pattern that fits says how a command is tried.
WAYS: list[tuple[str, Way]] = [
    (r"make (up|down)$", with_our_makefile),
    (r"make (venv|demo|test)$", read_by_make),  # downloads; CI runs the other two
    (r"FENNEL_\w+=\S*$", settings_are_taken),
    (r"(FENNEL_\w+=\S+ )*docker compose ", compose_has_it),  # wants Docker
    (r"fennel (model (pull|check)|kb sync (https|ssh)://)", read_by_fennel),  # gigabytes; a repository of others
    (r"fennel kb sync$", after_a_first_sync),
    (r"fennel (backup|restore|down)", with_backups),
    (r"fennel web password", with_a_password),
    (r"fennel ask ", for_real_or_not_found),
    (r"fennel doctor", a_finding_is_told),
    (r"fennel logs .*--follow", until_stopped),
    (r"fennel ", for_real),
    (r"rq info ", for_real),
    (r"RQ_DASHBOARD_REDIS_URL=\S+ ", read_by_its_program),  # wants the port 9181
    (r"\. \.venv/bin/activate$", for_real),
    (r"python -m pytest ", in_the_checkout),
    (r"python -m bot web$", on_a_free_port),
    (r"python -m bot letterbox$", a_module_is_there),  # tests/docs/test_adding_a_platform.py runs it
    (r"python -m bot web --standalone$", a_module_is_there),  # tests/cli/test_standalone.py: wants a stopped stack
    (r"python -m tests\.fakes\.slack ", a_module_is_there),  # tests/cli/test_breaks.py, with the line below
    (r"sleep 3; cp ", others_do_it),
    (r"git (clone|pull) ", others_do_it),  # the address of a reader's own clone
    (r"vllm serve ", others_do_it),  # another project's server, with four GPUs
]
# Its blocks set up several hosts, as root, with systemd. tests/docs/test_scaling.py starts the servers with the files
# that they write, and `make test-hosts` tries what they lead to.
READ_ONLY = ("scaling.md",)
# A command that several pages show is tried once.
FIRST = {command: page for page in reversed(pages()) if page.name not in READ_ONLY for command in commands(page)}
ALL = [(page, command) for command, page in FIRST.items()]


@pytest.mark.parametrize(
    ("page", "command"), ALL, ids=[f"{page.name}: {command}"[:70].replace("::", ":") for page, command in ALL]
)
def test_a_command_of_a_page_works(page: Path, command: str, home: StackHome) -> None:
    """The command, as it stands in the page, is tried in the way that `WAYS` names."""
    del page
    plain = command.replace(".venv/bin/", "", 1) if not command.startswith(". ") else command
    way = next((way for pattern, way in WAYS if re.match(pattern, plain)), None)

    assert way is not None, f"WAYS does not say how {command!r} is tried"
    way(plain, home)


def test_no_way_is_left_over() -> None:
    """A pattern that no command needs any more would let another one slip through."""
    plain = [command.replace(".venv/bin/", "", 1) for _, command in ALL] + [command for _, command in ALL]

    assert [pattern for pattern, _ in WAYS if not any(re.match(pattern, one) for one in plain)] == []


def assert_parses(words: list[str]) -> None:
    """The command line takes these words, without doing what they say."""
    command: click.Command = fennel
    context = click.Context(command)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0]) if words else None
        if found is None:
            assert not words or words[0].startswith(("-", "…")) or words[0].isupper(), f"no command {words[0]!r}"
            return
        command, words = found, words[1:]
    options = {
        name for one in command.params if isinstance(one, click.Option) for name in (*one.opts, *one.secondary_opts)
    }
    named = {word.partition("=")[0] for word in words if word.startswith("--") and len(word) > 2}
    assert named - options - {"--help"} == set()


def test_every_command_in_a_sentence_exists() -> None:
    """Also where a page only mentions `fennel …`, `make …` or `python -m …`: the command and its options are there."""
    text = text_of_docs()
    targets = {found["name"] for found in TARGET.finditer((CHECKOUT / "Makefile").read_text())}
    mentioned = re.findall(r"`(?:\.venv/bin/)?(fennel|make|python -m) ([^`]+)`", text)
    wrong = []
    for program, rest in mentioned:
        words = rest.replace('"', " ").replace("'", " ").split()
        if program == "make" and not words[0].startswith(("-", "…")) and words[0] not in targets:
            wrong.append((program, rest))
        if program == "python -m" and words[0].isidentifier() and find_spec(words[0].partition(".")[0]) is None:
            wrong.append((program, rest))
        if program == "fennel":
            try:
                assert_parses(words)
            except AssertionError as error:
                wrong.append((rest, str(error).partition("\n")[0]))

    assert len(mentioned) > 100
    assert wrong == []


def test_every_setting_in_a_sentence_exists() -> None:
    """A page names no setting that is not there: under its name in the environment, or as `section.key`."""
    known = set(re.findall(r"^(\w+) =", DEFAULTS_FILE.read_text(), re.MULTILINE))
    outside = {"FENNEL_HOME", "FENNEL_REDIS_SERVER", "FENNEL_TORCH", "FENNEL_PLATFORM", "FENNEL_SECTION__KEY"}
    named = {
        name
        for name in re.findall(r"\bFENNEL_[A-Z_]+[A-Z]\b", text_of_docs())
        if name not in outside and not name.startswith("FENNEL_SUPERVISOR_")
    }

    assert len(named) > 20
    assert [name for name in named if "__" not in name or name.partition("__")[2].lower() not in known] == []
