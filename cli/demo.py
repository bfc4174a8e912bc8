"""`fennel demo`: the whole way of one question, with the commands that a person would type."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click

from cli.stack import Stack, StackError
from cli.up import supervisorctl
from config.environment import CHECKOUT, environment_with
from config.loading import load_settings
from config.redis_address import RedisAddress

HANDBOOK = "examples/handbook"
QUESTION = "How many unused holiday days can I carry over?"
BIN = Path(sys.executable).parent
ANSWERED = 0
NOT_IN_KNOWLEDGE_BASE = 3


@click.command()
@click.argument("question", default=QUESTION)
def demo(question: str) -> None:
    """Start everything, ask the sample handbook a question, stop everything."""
    settings = load_settings()
    was_running = Stack(settings).pid() is not None
    started_s = time.monotonic()
    # A demo that is told to end stops what it started, as one that is done does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        _show(["fennel", "up", "--wait"], "`fennel logs worker_0` and `fennel logs redis` may tell why")
        _show(["fennel", "kb", "add", HANDBOOK], "look into `fennel kb --help`")
        asked = _show(
            ["fennel", "ask", "--", question], "look at `fennel logs worker_0`", (ANSWERED, NOT_IN_KNOWLEDGE_BASE)
        )
        # Its exit code tells of bots that are not set up, which is as it should be.
        _show([*shlex.split(supervisorctl(settings)), "status"], "", None)
        if not settings.redis.sentinels:
            _show(["rq", "info"], "look at `fennel status`", redis=settings.redis_address)
        if asked == NOT_IN_KNOWLEDGE_BASE and question == QUESTION:
            raise StackError("the sample question has no answer, though the handbook has one: run `fennel kb` to look")
    finally:
        if was_running:
            click.echo("\nFennel was running before, so it goes on; `fennel down` stops it.")
        else:
            _show(["fennel", "down"], "look at `fennel status`", None)
    click.echo(
        f'\nThat was all, in {time.monotonic() - started_s:.0f} s. Your turn: make up, then {BIN}/fennel ask "…"'
    )


def _show(
    command: list[str], hint: str, good_codes: tuple[int, ...] | None = (0,), redis: RedisAddress | None = None
) -> int:
    """Run a command of the environment as a person would; raises StackError for a code that is not among the good.

    `redis` is for RQ's own command. Every user of the machine can see arguments, and an address may have a password in
    it, so that the address goes in the environment.
    """
    shown = shlex.join([*command, "-u", redis.shown] if redis else command)
    added = {"RQ_REDIS_URL": redis.url_with_password} if redis else {}
    click.echo(f"\n$ {shown}")
    done = subprocess.run([str(BIN / command[0]), *command[1:]], cwd=CHECKOUT, env=environment_with(**added))
    if good_codes is not None and done.returncode not in good_codes:
        raise StackError(f"the demo ended at `{shown}` (exit code {done.returncode}); {hint}")
    return done.returncode
