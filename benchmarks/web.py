"""How soon the web page is there and what it costs: ``python -m benchmarks.web``. Needs a Chromium.

A chat of as many messages made with Gradio's own component stands beside it in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
from playwright.sync_api import Browser, sync_playwright

from benchmarks.report import print_table, write_results
from tests.valkey import ValkeyServer
from tests.web.conftest import FLAGS
from tests.web.painting import FIRST_PAINT_MS
from tests.web.programs import PageProgram, running

POSTS, READERS, MESSAGES = 100, 50, 40
WITHIN_S = 60.0
GRADIO_CHAT = """
import sys, gradio
roles, half = ("user", "assistant"), int(sys.argv[1]) // 2
told = [{"role": role, "content": f"message {n}"} for n in range(half) for role in roles]
with gradio.Blocks(analytics_enabled=False) as page:
    gradio.Chatbot(value=told)
    gradio.Textbox()
page.launch(server_name="127.0.0.1", server_port=int(sys.argv[2]), quiet=True, ssr_mode=False)
"""


def main() -> int:
    """Measure, print and write down."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often each page is painted")
    rounds: int = parser.parse_args().rounds
    server = ValkeyServer()
    server.start()
    try:
        with tempfile.TemporaryDirectory() as home:
            settings = {"FENNEL_REDIS__URL": server.url, "FENNEL_LIMITS__PERSON_QUESTIONS": "0"}
            with running(PageProgram(Path(home), settings)) as page:
                found = measured(page, rounds)
    finally:
        server.remove()
    print_table(
        f"The web page with {POSTS} messages; first contentful paint of {rounds}",
        ["", "open after s", "median ms", "slowest ms", "memory MiB"],
        [
            ["our room", found["open_s"], *found["room_ms"], found["memory_mib"]],
            ["our operators' tab", found["tabs_s"], *found["operators_ms"], ""],
            ["a chat of Gradio's own", found["gradio_open_s"], *found["gradio_ms"], found["gradio_memory_mib"]],
        ],
    )
    print_table(
        f"A message to {READERS} open pages, of {MESSAGES}",
        ["", "median ms", "95 of 100 ms", "CPU ms a page"],
        [["said → shown", *found["shown_ms"], found["cpu_ms_a_page"]]],
    )
    write_results("web", found)
    return 0


def measured(page: PageProgram, rounds: int) -> dict[str, Any]:
    """All figures of the page and of Gradio's."""
    found: dict[str, Any] = {"open_s": page.open_s, "tabs_s": page.ready_s}
    cookies = asyncio.run(filled(page.url))
    found["memory_mib"] = memory_mib(page.pid)
    with chromium() as browser, gradio_chat() as (process, url, open_s):
        found["gradio_open_s"], found["gradio_memory_mib"] = open_s, memory_mib(process.pid)
        pages = {"room_ms": page.url, "operators_ms": f"{page.url}operators/en/", "gradio_ms": url}
        found |= paint_ms(browser, pages, cookies, rounds)
    found |= asyncio.run(shown_to_readers(page, cookies))
    return found


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        yield browser
        browser.close()


@contextlib.contextmanager
def gradio_chat() -> Iterator[tuple[subprocess.Popen[bytes], str, float]]:
    """A chat of Gradio's: its process, where it is, and how long it took to be there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began_s, url = time.monotonic(), f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-c", GRADIO_CHAT, str(POSTS), str(port)]
    environment = {**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            while not answers(url):
                assert time.monotonic() - began_s < WITHIN_S, "Gradio does not come up"
                time.sleep(0.02)
            yield process, url, time.monotonic() - began_s
        finally:
            process.kill()


def answers(url: str) -> bool:
    """Whether a page is there."""
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def paint_ms(
    browser: Browser, urls: dict[str, str], cookies: dict[str, str], rounds: int
) -> dict[str, float | list[float]]:
    """The median and the slowest first contentful paint of each page, in browsers that have seen nothing yet.

    The pages take turns, so that what else the machine does hits all of them; the first turn warms up.
    """
    times: dict[str, list[float]] = {name: [] for name in urls}
    for number in range(rounds + 1):
        for name, url in urls.items():
            painted_ms = first_paint_ms(browser, url, cookies)
            times[name] += [painted_ms] if number else []
    return {name: [statistics.median(found), max(found)] for name, found in times.items()}


def first_paint_ms(browser: Browser, url: str, cookies: dict[str, str]) -> float:
    """When the page was painted first, in a new browser."""
    context = browser.new_context(locale="en-US")
    context.add_cookies([{"name": name, "value": value, "url": url} for name, value in cookies.items()])
    page = context.new_page()
    page.goto(url)
    painted_ms = page.evaluate(FIRST_PAINT_MS)
    context.close()
    return float(painted_ms)


async def filled(url: str) -> dict[str, str]:
    """Somebody comes in and says much; gives their cookies."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        await client.post("/enter", data={"name": "Ann"})
        for number in range(POSTS):
            await say(client, f"message {number} of a long talk about everything", f"filling-{number}")
        return dict(client.cookies)


async def say(client: httpx.AsyncClient, text: str, key: str) -> None:
    answer = await client.post("/room/say", json={"room": "general", "text": text, "key": key, "root": ""})
    answer.raise_for_status()


async def shown_to_readers(page: PageProgram, cookies: dict[str, str]) -> dict[str, float | list[float]]:
    """How long it takes from a message to each of many open pages, and what that costs the bot."""
    limits = httpx.Limits(max_connections=READERS + 5)
    async with (
        httpx.AsyncClient(
            base_url=page.url, cookies=cookies, trust_env=False, timeout=WITHIN_S, limits=limits
        ) as client,
        contextlib.AsyncExitStack() as stack,
    ):
        streams = [await stack.enter_async_context(listening(client)) for _ in range(READERS)]
        for stream in streams:
            await until(stream, "filling")
        process, times_ms = psutil.Process(page.pid), list[float]()
        before_s = sum(process.cpu_times()[:2])
        for number in range(MESSAGES):
            said_s = time.monotonic()
            reading = [asyncio.create_task(until(stream, f"measured-{number}-")) for stream in streams]
            await say(client, f"measured-{number}-", f"measured-{number}")
            times_ms += [1000 * (seen_s - said_s) for seen_s in await asyncio.gather(*reading)]
        cpu_s = sum(process.cpu_times()[:2]) - before_s
    times_ms.sort()
    shown = [statistics.median(times_ms), times_ms[int(0.95 * len(times_ms))]]
    return {"shown_ms": shown, "cpu_ms_a_page": 1000 * cpu_s / len(times_ms), "readers": float(READERS)}


@contextlib.asynccontextmanager
async def listening(client: httpx.AsyncClient) -> AsyncIterator[AsyncIterator[str]]:
    """The lines of an open page's stream."""
    async with client.stream("GET", "/room/events", params={"room": "general"}) as response:
        yield response.aiter_lines()


async def until(lines: AsyncIterator[str], word: str) -> float:
    """When a line with this word came."""
    async for line in lines:
        if word in line or (word == "filling" and line.startswith("data:")):
            return time.monotonic()
    raise RuntimeError("the stream has ended")


def memory_mib(pid: int) -> float:
    """What the process holds now."""
    return float(psutil.Process(pid).memory_info().rss / 2**20)


if __name__ == "__main__":
    sys.exit(main())
