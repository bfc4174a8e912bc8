"""A headless Chromium, the pages that it is shown, and a look at whatever it asks for."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from config.environment import CHECKOUT
from tests.bot.platforms.web.page import GUEST, OPERATOR, quick_hash
from tests.valkey import ValkeyServer
from tests.web.programs import Answering, PageProgram, running

# Nothing of the browser's own goes out, and no profile is left from before.
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-default-apps", "--no-proxy-server"),
)
PICTURES = CHECKOUT / "var" / "web"
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
EXPECT_MS = 40_000
"""What a machine may take that does seven other things."""

Visit = Callable[..., Awaitable[Page]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them want a browser, and share one loop with it."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.web)
            item.add_marker(pytest.mark.timeout(300))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium."""
    program = shutil.which("chromium")
    assert program, "there is no Chromium: `apt-get install chromium`"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def server() -> Iterator[ValkeyServer]:
    """The queue behind the pages."""
    one = ValkeyServer()
    try:
        one.start()
        yield one
    finally:
        one.remove()


@pytest.fixture(scope="session")
def program(server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProgram]:
    """A page on loopback without passwords; the tests answer what is asked there."""
    home = tmp_path_factory.mktemp("page")
    settings = {
        "FENNEL_REDIS__URL": server.url,
        "FENNEL_WEB__ROOMS": '["general", "support"]',
        "FENNEL_LIMITS__PERSON_QUESTIONS": "0",
    }
    with running(PageProgram(home, settings)) as one:
        yield one


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProgram]:
    """A page with both passwords."""
    server = ValkeyServer()
    try:
        server.start()
        settings = {
            "FENNEL_REDIS__URL": server.url,
            "FENNEL_WEB__PASSWORD_HASH": quick_hash(GUEST),
            "FENNEL_WEB__OPERATOR_HASH": quick_hash(OPERATOR),
        }
        with running(PageProgram(tmp_path_factory.mktemp("locked"), settings)) as one:
            yield one
    finally:
        server.remove()


@pytest_asyncio.fixture(loop_scope="session")
async def answering(server: ValkeyServer, program: PageProgram) -> AsyncIterator[Answering]:
    """Whoever answers the questions of this test; the room is empty when it begins."""
    one = Answering(server.url)
    await one.clear_rooms()
    yield one
    await one.close()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser) -> AsyncIterator[Visit]:
    """Opens pages, each in a browser of its own; at the end nothing may have been asked of another host.

    With a `name` somebody comes in by it first.
    """
    contexts: list[BrowserContext] = []
    asked: list[str] = []
    faults: list[str] = []

    async def open_page(url: str, name: str = "", path: str = "/", password: str = "", **how: Any) -> Page:
        context = await browser.new_context(**{"viewport": DESK, "locale": "en-US", **how})
        contexts.append(context)
        context.set_default_timeout(EXPECT_MS)
        context.on("request", lambda request: asked.append(request.url))
        page = await context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        await page.goto(url.rstrip("/") + (f"/enter?next={path}" if name else path))
        if name:
            await come_in(page, name, password)
        return page

    yield open_page
    for context in contexts:
        await context.close()
    hosts = {urlsplit(one).hostname for one in asked if urlsplit(one).scheme not in ("data", "blob")}
    assert hosts <= {"127.0.0.1"}, hosts
    assert faults == []


@pytest.fixture(scope="session", autouse=True)
def _patience() -> None:
    expect.set_options(timeout=EXPECT_MS)


async def come_in(page: Page, name: str, password: str = "") -> None:
    """Somebody says what they are called."""
    await page.fill("[name=name]", name)
    if password:
        await page.fill("[name=password]", password)
    await page.click(".go")
    await page.wait_for_load_state()


async def picture(page: Page, name: str) -> None:
    """Keep how the page looks."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=PICTURES / f"{name}.png")
