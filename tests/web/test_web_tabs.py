"""The operators' tabs, in a browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from config.environment import CHECKOUT
from tests.bot.platforms.web.page import GUEST, OPERATOR
from tests.web.conftest import PHONE, Visit, come_in, picture
from tests.web.programs import Answering, PageProgram
from tests.web.talk import ANSWER, QUESTION, SOURCES, say

pytestmark = pytest.mark.asyncio(loop_scope="session")

COMMAND_MS = 60_000
"""What a command takes that loads the embedder, on a busy machine."""


async def test_a_wrong_password_opens_nothing(visit: Visit, locked: PageProgram) -> None:
    """It is told, the name stays, and the right one lets in: to the room, and not to the tabs."""
    page = await visit(locked.url)
    await come_in(page, "Ann", "a guess")
    await expect(page.get_by_role("alert")).to_have_text("This password is wrong.")
    await expect(page.locator("[name=name]")).to_have_value("Ann")
    await picture(page, "entry-wrong-en-1440")
    await come_in(page, "Ann", GUEST)
    await expect(page.locator("#composer")).to_be_visible()
    await expect(page.get_by_text("Operators")).to_have_count(0)
    await page.goto(f"{locked.url}operators/")
    await expect(page.locator(".lead")).to_contain_text("This is for operators")
    refused = await page.request.post(f"{locked.url}knowledge/en/gradio_api/upload", multipart={"files": "x"})
    assert refused.status == 403


async def test_operators_come_in_by_theirs(visit: Visit, locked: PageProgram) -> None:
    """Their password opens the tabs, and leaving shuts them."""
    page = await visit(locked.url, "Olga", password=OPERATOR)
    await page.get_by_text("Operators").click()
    await expect(page.locator("#programs")).to_contain_text("bot_web")
    await page.get_by_text("Leave").click()
    await page.goto(f"{locked.url}operators/en/")
    await expect(page.locator("[name=password]")).to_be_visible()


async def test_operators_see_how_it_goes(visit: Visit, program: PageProgram, answering: Answering) -> None:
    """What waits, who works, the plots, and of the last questions why they ended so; as it happens."""
    ann = await visit(program.url, "Ann")
    page = await visit(program.url, "Olga", "/operators/")
    await expect(page.locator("#programs")).to_contain_text("bot_web")
    await expect(page.locator("#workers")).to_contain_text("not heard of")
    await say(ann, f"@fennel {QUESTION}")
    question = await answering.first()
    row = page.locator(f"#{question.id}")
    await expect(row).to_contain_text("under way")
    await expect(page.locator(".tile").first).to_contain_text("1")
    await answering.because(question)
    await answering.end(question, ANSWER, *SOURCES)
    await expect(row).to_contain_text("answered")
    await row.locator("summary").click()
    why = row.locator(".why")
    await expect(why).to_contain_text("The documents answer it. Score 0.750, answered from 0.500 on.")
    await expect(why).to_contain_text("handbook/holidays.md")
    await say(ann, "@fennel and another?")
    other = await answering.first()
    await expect(page.locator(f"#{other.id}")).to_be_visible()
    # What was opened stays open while the list changes.
    await expect(why).to_be_visible()
    await answering.end(other, "Yes.")
    await page.get_by_text("Last hour").click()
    await expect(page.locator("#operator-plots canvas, #operator-plots svg").first).to_be_visible()
    await page.wait_for_timeout(1_000)  # until the plots are drawn, for the picture alone
    await picture(page, "operators-en-1440")


async def test_operators_look_on_a_phone(visit: Visit, program: PageProgram, answering: Answering) -> None:
    """Nothing but the plots is wider than the screen, and the words are Chinese."""
    page = await visit(program.url, "李雷", "/operators/", locale="zh-CN", viewport=PHONE)
    await expect(page.locator("#programs")).to_contain_text("运行中")
    await expect(page.get_by_text("最近的问题")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    await picture(page, "operators-zh-390")


async def test_documents_are_added_found_and_removed(visit: Visit, program: PageProgram, tmp_path: Path) -> None:
    """Upload, see how far it is, see what became of it; search for it; remove it."""
    page = await visit(program.url, "Olga", "/knowledge/")
    await expect(page.locator("#documents")).to_contain_text("There are no documents yet.", timeout=COMMAND_MS)
    document = tmp_path / "tokens guide.md"
    document.write_text("# Tokens\n\n## Validity\n\nAn API token is valid for 90 days. `<script>alert(1)</script>`\n")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 rubbish")
    await page.set_input_files("#upload input[type=file]", [document, tmp_path / "broken.pdf"])
    await expect(page.locator("#upload")).to_contain_text("broken")
    await page.locator("#add").click()
    await expect(page.locator("#changed progress")).to_be_visible()
    changed = page.locator("#changed")
    await expect(changed).to_contain_text("1 added", timeout=COMMAND_MS)
    await expect(changed).to_contain_text("1 failed")
    await expect(changed.locator("tr.bad")).to_contain_text("broken.pdf")
    await expect(page.locator("#documents")).to_contain_text("tokens guide.md", timeout=COMMAND_MS)
    await expect(page.locator("#documents")).not_to_contain_text(str(program.home))
    await picture(page, "knowledge-en-1440")

    await page.get_by_role("tab", name="Search").click()
    await page.fill("#query textarea", "How long is an API token valid?")
    await page.press("#query textarea", "Enter")
    hit = page.locator(".hit").first
    await expect(hit).to_contain_text("<script>alert(1)</script>", timeout=COMMAND_MS)
    await expect(page.locator("#hits .verdict")).to_contain_text("The gate's score is")
    await picture(page, "search-en-1440")

    await page.get_by_role("tab", name="Documents").click()
    await page.get_by_label("Remove a document").fill("tokens guide.md")
    await page.locator("#remove").click()
    await expect(changed).to_contain_text("1 removed", timeout=COMMAND_MS)
    await expect(page.locator("#documents")).to_contain_text("There are no documents yet.", timeout=COMMAND_MS)


async def test_a_sync_tells_how_far_it_is(visit: Visit, program: PageProgram, tmp_path: Path) -> None:
    """Folders that were synced before are brought into step, with a bar that moves; without any, that is said."""
    page = await visit(program.url, "李雷", "/knowledge/", locale="zh-CN", viewport=PHONE)
    await page.locator("#sync").click()
    await expect(page.locator("#changed")).to_contain_text("nothing was synced yet", timeout=COMMAND_MS)
    handbook = CHECKOUT / "examples" / "handbook"
    program.fennel("kb", "sync", "--kb", "handbook", str(handbook))
    steps: list[Any] = []
    await page.expose_function("stepped", lambda step: steps.append(step))
    await page.evaluate(
        """new MutationObserver(() => {
             const bar = document.querySelector('#changed progress[max]');
             if (bar) stepped([bar.value, bar.max]);
           }).observe(document.getElementById('changed'), {childList: true, subtree: true, attributes: true})"""
    )
    await page.locator("#sync").click()
    files = len(list(handbook.rglob("*.md")))
    await expect(page.locator("#changed")).to_contain_text(f"未变 {files}", timeout=COMMAND_MS)
    assert steps
    assert [whole for _, whole in steps] == [files] * len(steps)
    await picture(page, "knowledge-zh-390")


async def test_the_threshold_is_drawn(visit: Visit, program: PageProgram, tmp_path: Path) -> None:
    """Two files of questions give the curve, and nothing is changed until that is wanted."""
    base = "curve"
    program.fennel("kb", "add", "--kb", base, str(CHECKOUT / "examples" / "handbook" / "en"))
    good, bad = _questions()
    (tmp_path / "good.txt").write_text("\n".join(good))
    (tmp_path / "bad.txt").write_text("\n".join(bad))
    page = await visit(program.url, "Olga", "/knowledge/")
    await page.get_by_label("Knowledge base").fill(base)
    await page.get_by_label("Knowledge base").press("Enter")
    await page.get_by_role("tab", name="Threshold").click()
    await page.locator("#draw").click()
    await expect(page.locator("#tuned")).to_contain_text("Choose files first.")
    await page.set_input_files("#good input[type=file]", tmp_path / "good.txt")
    await page.set_input_files("#bad input[type=file]", tmp_path / "bad.txt")
    await expect(page.locator("#good")).to_contain_text("good")
    await expect(page.locator("#bad")).to_contain_text("bad")
    learned = program.home / "gate" / f"{base}.json"
    await page.locator("#draw").click()
    await expect(page.locator("#tuned")).to_contain_text("Nothing was changed.", timeout=2 * COMMAND_MS)
    assert not learned.exists()
    await expect(page.locator("#curves canvas, #curves svg").first).to_be_visible()
    await page.wait_for_timeout(1_000)  # until the plots are drawn, for the picture alone
    await picture(page, "threshold-en-1440")
    await page.locator("#keep").click()
    await expect(page.locator("#tuned")).to_contain_text("Workers go by it from now on.", timeout=2 * COMMAND_MS)
    assert json.loads(learned.read_text())


def _questions() -> tuple[list[str], list[str]]:
    """Questions that the handbook answers, and chat that it does not."""
    answered = (CHECKOUT / "tests" / "data" / "retrieval" / "handbook.jsonl").read_text().splitlines()
    talk = (CHECKOUT / "tests" / "data" / "retrieval" / "smalltalk.jsonl").read_text().splitlines()
    good = [one["question"] for one in map(json.loads, answered) if one["question"].isascii()]
    return good[:15], [json.loads(one)["text"] for one in talk][:15]


async def test_a_file_of_no_kind_is_refused(visit: Visit, program: PageProgram, tmp_path: Path) -> None:
    """Also by whoever speaks to the server without the page; and no path of the server's own is taken for a file."""
    page = await visit(program.url, "Eve", "/knowledge/")
    await expect(page.locator("#documents h3")).to_be_visible(timeout=COMMAND_MS)
    sent = await upload(page, program, "evil.exe", b"MZ")
    assert await add(page, program, sent) == ""
    listed = [file.name for file in program.home.rglob("*") if "evil" in file.name and file.is_file()]
    for path in ("/etc/passwd", str(program.home / "fennel.toml"), f"{sent}/../../../etc/passwd"):
        assert await add(page, program, path) == ""
    placed = program.home / "documents"
    assert not placed.exists() or not [one for one in placed.rglob("*") if one.name in ("passwd", *listed)]


async def upload(page: Page, program: PageProgram, name: str, content: bytes) -> str:
    """Send a file as the page does; where the server has put it."""
    answer = await page.request.post(
        f"{program.url}knowledge/en/gradio_api/upload",
        multipart={"files": {"name": name, "mimeType": "text/markdown", "buffer": content}},
    )
    return str((await answer.json())[0]) if answer.ok else name


async def add(page: Page, program: PageProgram, path: str) -> str:
    """Press "add" with this file, past the page; what the server says of it, empty for an error."""
    root = f"{program.url}knowledge/en/gradio_api"
    config = await (await page.request.get(f"{program.url}knowledge/en/config")).json()
    which = next(one for one in config["dependencies"] if len(one["inputs"]) == 2 and one["targets"][0][1] == "click")
    data = [[{"path": path, "orig_name": "a.md", "meta": {"_type": "gradio.FileData"}}], "default"]
    joined = await page.request.post(
        f"{root}/queue/join", data={"data": data, "fn_index": which["id"], "session_hash": "eve"}
    )
    assert joined.ok, await joined.text()
    said = await (await page.request.get(f"{root}/queue/data?session_hash=eve")).text()
    return said if '"success": true' in said and "added" in said else ""
