"""`fennel ask`: one question from a terminal, its answer, and an exit code that a script can use."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from rich.console import Console
from rq.worker import SimpleWorker

from bot import rendering
from cli.ask import LinePrinter, TerminalPrinter, what_is_wrong_with
from cli.running import WORKERS_KEY
from config.environment import CHECKOUT
from contract import names
from contract.answer import FinalAnswer, Outcome
from contract.question import Question
from tests.bot.answering import answering, echo, finish, publish, take
from tests.bot.conftest import make_question, until
from tests.valkey import ValkeyServer

Start = Callable[..., Any]
WITHIN_S = 30.0


@pytest.fixture
async def a_worker(redis_client: redis.asyncio.Redis) -> None:
    """A worker as RQ registers it."""
    await redis_client.sadd(WORKERS_KEY, "rq:worker:w")
    await redis_client.hset("rq:worker:w", "birth", "2026-01-01T00:00:00.000000Z")


@pytest.fixture
async def start(valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Start]:
    """Start ``fennel ask``, and end it if a test leaves it running."""
    processes: list[asyncio.subprocess.Process] = []

    async def begin(*arguments: str | bytes, url: str = valkey.url, **settings: str) -> asyncio.subprocess.Process:
        environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "FENNEL_HOME": str(tmp_path),
            "FENNEL_REDIS__URL": url,
            **settings,
        }
        program = "from cli.main import main; main()"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", program, "ask", *arguments),
            cwd=CHECKOUT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        processes.append(process)
        return process

    yield begin
    for process in processes:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    """The exit code, and what was printed to both."""
    async with asyncio.timeout(WITHIN_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def nothing_is_left(client: redis.asyncio.Redis) -> bool:
    """Whether neither an entry nor an open question stands in Redis."""
    left = [await client.xlen(names.answers_stream("ask")), await client.zcard(names.open_key("ask"))]
    return left == [0, 0]


def ends_as(outcome: Outcome, text: str = "") -> Callable[[Question], FinalAnswer]:
    """An answerer that ends every question so."""
    return lambda question: FinalAnswer(question.to_wire(), outcome, text)


@pytest.mark.usefixtures("a_worker")
async def test_json_is_one_object_with_the_answer(
    start: Start, valkey: ValkeyServer, redis_client: redis.asyncio.Redis
) -> None:
    """A program gets exactly the promised members, and nothing is left behind."""
    async with answering(valkey.address):
        code, out, err = await ended(await start("--json", "How many days off?"))
    body = json.loads(out)
    assert list(body) == ["question_id", "outcome", "text", "citations", "queued_ms", "first_text_ms", "total_ms"]
    assert body["question_id"].startswith("q-")
    assert (body["outcome"], body["text"]) == ("answered", "You asked: How many days off?")
    assert body["citations"] == [
        {"title": "Holidays", "source": "handbook/holidays.md", "quote": "Everybody has 30 days."}
    ]
    assert (body["queued_ms"], body["first_text_ms"], body["total_ms"]) == (1, 2, 3)
    assert (code, err) == (0, "")
    assert await nothing_is_left(redis_client)


@pytest.mark.usefixtures("a_worker")
@pytest.mark.parametrize(
    ("outcome", "code"),
    [(Outcome.SMALL_TALK, 0), (Outcome.NOT_FOUND, 3), (Outcome.FAILED, 4)],
)
async def test_the_exit_code_tells_how_it_ended(
    start: Start, valkey: ValkeyServer, redis_client: redis.asyncio.Redis, outcome: Outcome, code: int
) -> None:
    """Small talk is an answer, not found and failed have codes of their own, and each is said in a sentence."""
    async with answering(valkey.address, ends_as(outcome)):
        found, out, _err = await ended(await start("你好吗？"))
    assert found == code
    assert out.strip()
    assert await nothing_is_left(redis_client)


@pytest.mark.usefixtures("a_worker")
async def test_text_in_a_pipe_comes_as_it_is_made(
    start: Start, redis_client: redis.asyncio.Redis, valkey: ValkeyServer
) -> None:
    """What is new of a growing answer is printed at once, and the end adds the rest, the sources and the times."""
    process = await start("How many days off?")
    question = await until(lambda: take(redis_client), WITHIN_S)
    await publish(redis_client, question, "")
    await publish(redis_client, question, "You asked:")
    assert process.stdout is not None
    assert await process.stdout.readexactly(10) == b"You asked:"
    await finish(redis_client, echo(question))
    code, out, err = await ended(process)
    assert (code, err) == (0, "Thinking…\n")
    assert out.startswith(" How many days off?\n\nSources:\n[1] Holidays — handbook/holidays.md\n\nqueued 0.0 s, ")


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("", "the question is empty"),
        (" \t\n", "the question is empty"),
        ("a\x1b[31mb", "control characters"),
        ("\udcff\udcfe", "not UTF-8"),
        ("How many days off?\nAnd in 年?", ""),
    ],
)
def test_what_cannot_be_a_question_is_refused_at_once(question: str, sentence: str) -> None:
    """Empty text, control characters and broken UTF-8 are told from a question."""
    complaint = what_is_wrong_with(question)
    assert sentence in complaint
    assert bool(sentence) == bool(complaint)


async def test_bad_arguments_end_with_a_sentence(start: Start) -> None:
    """Broken UTF-8 and a novel from the command line end with a sentence and a code that is not 0."""
    for argument, wanted, sentence in ((b"\xff\xfe", 2, "not UTF-8"), ("x" * 100_000, 4, "at most 4000 characters")):
        code, out, err = await ended(await start(argument))
        assert code == wanted
        assert sentence in out + err
        assert "Traceback" not in err


async def test_nothing_running_is_told_with_the_cure(
    start: Start, tmp_path: Path, valkey: ValkeyServer, redis_client: redis.asyncio.Redis
) -> None:
    """Without Redis, without a worker, and with a worker that is gone, the code is 5 and the sentence says make up."""
    code, out, err = await ended(await start("Anybody?", url=f"unix://{tmp_path}/none.sock"))
    assert (code, out) == (5, "")
    assert "`make up`" in err
    await redis_client.sadd(WORKERS_KEY, "rq:worker:gone")
    code, out, err = await ended(await start("--json", "Anybody?"))
    assert (code, out) == (5, "")
    assert "no worker is running" in err
    assert await redis_client.llen(names.QUEUE_KEY) == 0


def test_a_worker_is_looked_for_where_rq_lists_it(valkey: ValkeyServer) -> None:
    """The key that we read is the one that RQ's own worker writes."""
    with redis.Redis.from_url(valkey.url) as client:
        worker = SimpleWorker([names.QUEUE], connection=client)
        worker.register_birth()
        assert client.smembers(WORKERS_KEY) == {worker.key.encode()}
        worker.register_death()


@pytest.mark.usefixtures("a_worker")
async def test_ctrl_c_takes_a_waiting_question_back(start: Start, redis_client: redis.asyncio.Redis) -> None:
    """An interrupted question leaves the queue, and the command says so with code 4."""
    process = await start("How long?")
    await until(lambda: redis_client.llen(names.QUEUE_KEY), WITHIN_S)
    process.send_signal(signal.SIGINT)
    code, out, err = await ended(process)
    assert (code, out.splitlines()[0]) == (4, "Stopped.")
    assert "Traceback" not in err
    assert await redis_client.llen(names.QUEUE_KEY) == 0
    assert await nothing_is_left(redis_client)


@pytest.mark.usefixtures("a_worker")
async def test_ctrl_c_stops_a_question_that_a_worker_has(start: Start, redis_client: redis.asyncio.Redis) -> None:
    """The worker that has the question is told by RQ's own command to stop it, and its end is waited for."""
    async with redis_client.pubsub() as listening:
        await listening.subscribe("rq:pubsub:w")
        process = await start("How long?")
        question = await until(lambda: take(redis_client), WITHIN_S)
        await redis_client.hset(names.job_key(question.id), "worker_name", "w")
        process.send_signal(signal.SIGINT)
        command = await until(lambda: listening.get_message(ignore_subscribe_messages=True, timeout=1), WITHIN_S)
    assert json.loads(command["data"]) == {"command": "stop-job", "job_id": question.id}
    await finish(redis_client, FinalAnswer(question.to_wire(), Outcome.STOPPED))
    code, out, _err = await ended(process)
    assert (code, out.splitlines()[0]) == (4, "Stopped.")
    assert await nothing_is_left(redis_client)


@pytest.mark.usefixtures("a_worker")
async def test_a_question_that_waits_is_told_its_place_and_its_end(
    start: Start, redis_client: redis.asyncio.Redis
) -> None:
    """With nobody to take it, the asker sees the place in the queue, and after its time that it is too late."""
    settings = {"FENNEL_QUEUE__QUEUED_NOTICE_AFTER_S": "0.2", "FENNEL_QUEUE__ANSWER_TTL_S": "2.5"}
    code, out, err = await ended(await start("How long?", **settings))
    assert code == 4
    assert err.splitlines() == ["Queued, you are next."]
    assert out.startswith("I could not get to this in time.")
    assert await nothing_is_left(redis_client)


def test_an_answer_that_became_another_is_printed_anew(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the end is not what had grown, the whole end is printed behind it."""
    question = make_question(text="one")
    printer = LinePrinter()
    printer.grow(rendering.growing(question, "Forty"))
    printer.end(question, echo(question))
    assert capsys.readouterr().out.startswith("Forty\n\nYou asked: one\n\nSources:")


def test_a_terminal_shows_the_end_once(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal the growing answer gives way to the end, and markup in it is text."""
    question = make_question(text="[red]one")
    with contextlib.closing(TerminalPrinter(Console(force_terminal=True, width=100, color_system=None))) as printer:
        printer.grow(rendering.growing(question, "You"))
    printer.end(question, echo(question))
    assert capsys.readouterr().out.count("You asked: [red]one") == 1
