"""The page with everything behind it: Redis, a worker, its engine."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest
from playwright.async_api import expect

from config.environment import CHECKOUT
from tests.web.conftest import Visit, picture
from tests.web.programs import PageProgram, running
from tests.web.talk import say

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageProgram]:
    """`python -m bot web --standalone`, with a document."""
    # A short path: sockets stand in it.
    home = tmp_path_factory.mktemp("w")
    with running(PageProgram(home, {"FENNEL_ENGINE__KIND": "echo", "FENNEL_REDIS__PORT": "0"}, whole=True)) as one:
        one.fennel("kb", "add", str(CHECKOUT / "examples" / "handbook" / "en" / "api-quotas.md"))
        yield one


async def test_a_worker_is_killed_while_pages_watch(visit: Visit, whole: PageProgram) -> None:
    """The operators' page shows that it is gone and that it is back; the question is answered once all the same."""
    operators = await visit(whole.url, "Olga", "/operators/")
    ready = operators.locator("#workers .state.ready")
    await expect(ready).to_be_visible(timeout=60_000)
    page = await visit(whole.url, "Ann")
    pids = await operators.locator("#workers").get_attribute("data-pids")
    assert pids
    worker = psutil.Process(int(pids.split()[0]))
    worker.kill()
    await say(page, "@fennel How long is an API token valid?")
    await expect(page.locator(".post.ours")).to_have_count(1)
    await expect(operators.locator("#workers")).not_to_have_attribute("data-pids", pids, timeout=60_000)
    await expect(ready).to_be_visible(timeout=60_000)
    await picture(operators, "operators-worker-back-en-1440")
    await expect(page.locator(".post.answered, .post.not_found")).to_have_count(1, timeout=60_000)
    await expect(page.locator(".post.ours")).to_have_count(1)
    assert not worker.is_running()
