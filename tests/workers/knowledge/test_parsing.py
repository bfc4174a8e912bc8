"""The parsing processes: strangers' files are read with tied hands, and a bad one costs itself alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from config.environment import CHECKOUT
from workers.knowledge.document import DocumentError
from workers.knowledge.parse import parse
from workers.knowledge.parsing import ParsingLimits, ParsingPool

GOOD = CHECKOUT / "tests" / "data" / "documents" / "good"
# So much nested HTML that it takes many seconds, and some 100 MB.
SLOW = b"<ul><li>text</li></ul>" * 400_000
LIMITS = ParsingLimits(max_file_mb=20, memory_mb=1024, timeout_s=60)

# Gives up everything, then tries to get some of it back; prints what it got.
ESCAPE = """
import os, socket, subprocess, sys
from workers.knowledge.sandbox import lock_down
lock_down(50_000_000)
def attempt(name, act):
    try:
        act()
    except (OSError, MemoryError, ValueError):
        return
    print("could", name)
attempt("read a file", lambda: open("/etc/hostname"))
attempt("write a file", lambda: open("left-behind", "w"))
attempt("open a socket", lambda: socket.socket())
attempt("make a pipe", lambda: os.pipe())
attempt("start a program", lambda: subprocess.Popen([sys.executable, "-c", ""]))
attempt("list a folder", lambda: os.listdir("/"))
attempt("take memory", lambda: bytearray(80_000_000))
attempt("raise its limit", lambda: __import__("resource").setrlimit(7, (0, 100)) or open("/etc/hostname"))
print("tried all")
"""


@pytest.fixture(scope="module")
def pool() -> Iterator[ParsingPool]:
    with ParsingPool(LIMITS, [path.name for path in GOOD.iterdir()]) as pool:
        yield pool


@pytest.mark.parametrize("name", sorted(path.name for path in GOOD.iterdir()))
def test_every_format_is_read_the_same_without_any_file_to_open(pool: ParsingPool, name: str) -> None:
    """The process, which can open no module and no font any more, reads what this one reads."""
    content = (GOOD / name).read_bytes()
    assert pool.parse(name, content) == parse(name, content, 200_000_000)


def test_a_bad_file_does_not_cost_its_process(pool: ParsingPool) -> None:
    """A reason comes back over the pipe, and the same process reads the next file."""
    pool.parse("a.txt", b"text")
    (before,) = _children()
    with pytest.raises(DocumentError, match="is damaged: its package cannot be opened"):
        pool.parse("a.docx", b"PK\x03\x04rubbish")
    assert pool.parse("a.txt", b"text").sections[0].blocks == ("text",)
    assert [child.pid for child in _children()] == [before.pid]


def test_nothing_can_be_opened_started_or_taken_in_the_sandbox(tmp_path: Path) -> None:
    """After the lock no file, socket, pipe, program, folder or further memory is to be had."""
    done = subprocess.run(
        [sys.executable, "-c", ESCAPE], cwd=tmp_path, env={"PYTHONPATH": str(CHECKOUT)}, capture_output=True, text=True
    )
    assert done.stdout == "tried all\n", done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_process_knows_no_secret(pool: ParsingPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the environment of Fennel does not stand in that of the parsing process."""
    monkeypatch.setenv("FENNEL_SLACK__BOT_TOKEN", "xoxb-secret")
    with ParsingPool(LIMITS, ["a.txt"]) as fresh:
        fresh.parse("a.txt", b"text")
        assert [child for child in _children() if "FENNEL_SLACK__BOT_TOKEN" in child.environ()] == []
        assert len(_children()) == 2


def test_a_file_that_takes_too_long_is_given_up() -> None:
    """The time limit is the file's reason, and the next file is read by a new process."""
    with ParsingPool(ParsingLimits(20, 1024, timeout_s=0.3), ["a.html"]) as pool:
        with pytest.raises(DocumentError, match=r"takes longer than 0\.3 s to read \(knowledge.parse_timeout_s\)"):
            pool.parse("a.html", SLOW)
        assert pool.parse("a.html", b"<p>text").sections[0].blocks == ("text",)


def test_a_file_that_needs_too_much_memory_is_given_up() -> None:
    """The memory limit is the file's reason, and the next file is read by a new process."""
    with ParsingPool(ParsingLimits(20, 30, timeout_s=60), ["a.html"]) as pool:
        with pytest.raises(DocumentError, match=r"needs more than 30 MB to read \(knowledge.parse_memory_mb\)"):
            pool.parse("a.html", SLOW)
        assert pool.parse("a.html", b"<p>text").sections[0].blocks == ("text",)


def test_a_process_that_is_killed_costs_the_file_that_it_was_reading() -> None:
    """Whatever ends the process is the file's reason, and the next file is read by a new process."""
    others = [child.pid for child in _children()]
    with ParsingPool(LIMITS, ["a.html"]) as pool:
        reasons: list[str] = []

        def read() -> None:
            try:
                pool.parse("a.html", SLOW)
            except DocumentError as error:
                reasons.append(str(error))

        reader = threading.Thread(target=read)
        reader.start()
        while not (found := [child for child in _children() if child.pid not in others]):
            time.sleep(0.01)
        # Once it uses this much more memory than at its start, it is reading.
        while reader.is_alive() and found[0].memory_info().rss < 150_000_000:
            time.sleep(0.01)
        os.kill(found[0].pid, signal.SIGKILL)
        reader.join()
        assert reasons == ["breaks the program that reads it, which was ended by SIGKILL"]
        assert pool.parse("a.html", b"<p>text").sections[0].blocks == ("text",)


def test_a_process_that_died_while_idle_is_replaced_unseen(pool: ParsingPool) -> None:
    """A file that comes after its process was killed is read all the same."""
    pool.parse("a.txt", b"text")
    for child in _children():
        child.kill()
        child.wait()
    assert pool.parse("a.txt", b"text").sections[0].blocks == ("text",)


def test_closing_leaves_no_process_behind() -> None:
    """With the pool its processes end."""
    before = len(_children())
    with ParsingPool(LIMITS, ["a.txt"]) as pool:
        pool.parse("a.txt", b"text")
        assert len(_children()) == before + 1
    assert len(_children()) == before


def _children() -> list[psutil.Process]:
    """The parsing processes that this one has started."""
    children = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in children if "workers.knowledge.parsing_process" in child.cmdline()]
