"""The room, in a browser."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from contract.answer import Citation
from tests.web.conftest import PHONE, Visit, picture
from tests.web.painting import FIRST_PAINT_MS
from tests.web.programs import Answering, PageProgram
from tests.web.talk import ANSWER, QUESTION, SOURCES, say

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_question_is_answered_as_it_is_made(visit: Visit, program: PageProgram, answering: Answering) -> None:
    """Ask, see that it thinks, see the answer grow, see its end; open a source, and say that it was good."""
    page = await visit(program.url, "Ann")
    await say(page, f"@fennel {QUESTION}")
    await expect(page.locator(".post.notice")).to_contain_text("Thinking…")
    question = await answering.next()
    assert (question.text, question.asker_name, question.heard) == (QUESTION, "Ann", "mention")
    await answering.grow(question, "You have **thirty**")
    await expect(page.locator(".post.grows strong")).to_have_text("thirty")
    await picture(page, "room-grows-en-1440")
    await answering.end(question, ANSWER, *SOURCES)
    answer = page.locator(".post.answered")
    await expect(answer).to_contain_text("You have thirty days off. [1]")
    await expect(page.locator(".post.ours")).to_have_count(1)

    quote = answer.locator("blockquote").first
    await expect(quote).to_be_hidden()
    await answer.locator("summary").first.click()
    await expect(quote).to_have_text("Everybody has 30 days off a year.")
    await answer.locator("summary").nth(1).click()
    await expect(answer.get_by_text("Open the document")).to_have_attribute("href", "https://docs.example/holidays")

    await answer.get_by_label("Good answer").click()
    await expect(answer.get_by_label("Good answer")).to_have_attribute("aria-pressed", "true")
    # What was opened stays open when the answer is shown anew.
    await expect(quote).to_be_visible()
    await answer.get_by_label("Bad answer").click()
    await expect(answer.get_by_label("Bad answer")).to_have_attribute("aria-pressed", "true")
    await expect(answer.get_by_label("Good answer")).to_have_attribute("aria-pressed", "false")
    assert await answering.verdicts() == ["bad"]
    await picture(page, "room-answered-en-1440")


async def test_an_answer_is_stopped(visit: Visit, program: PageProgram, answering: Answering) -> None:
    """Who asked has a button for it while the answer grows; nobody else has."""
    ann, bob = await visit(program.url, "Ann"), await visit(program.url, "Bob")
    await say(ann, f"@fennel {QUESTION}")
    await answering.grow(await answering.first(), "You have")
    for page in (ann, bob):
        await expect(page.locator(".post.grows")).to_contain_text("You have")
    await expect(bob.get_by_text("Stop")).to_have_count(0)
    await ann.get_by_text("Stop").click()
    for page in (ann, bob):
        await expect(page.locator(".post.stopped")).to_contain_text("Stopped.")


async def test_two_people_talk_in_one_thread(visit: Visit, program: PageProgram, answering: Answering) -> None:
    """Both see everything at once; in a thread nobody has to call the bot, and it knows what it is about."""
    ann, bob = await visit(program.url, "Ann"), await visit(program.url, "李雷", locale="zh-CN")
    await say(ann, f"@fennel {QUESTION}")
    first = await answering.next()
    await answering.end(first, ANSWER, *SOURCES)
    await expect(bob.locator(".post.answered")).to_contain_text("thirty days off")
    await bob.get_by_text("回复").click()
    await expect(bob.locator("#where")).to_contain_text(QUESTION)
    await say(bob, "那五月呢？")
    second = await answering.next()
    assert (second.text, second.asker_name, second.thread) == ("那五月呢？", "李雷", first.message_id)
    await answering.end(second, "五月也一样。", *SOURCES[:1])
    for page in (ann, bob):
        await expect(page.locator(".thread")).to_have_count(1)
        await expect(page.locator(".replies .post")).to_have_count(3)
        await expect(page.locator(".replies .post").last).to_contain_text("五月也一样。")
    await say(ann, "just between us")
    await expect(bob.locator(".thread").last).to_contain_text("just between us")
    await picture(bob, "room-thread-zh-1440")


async def test_a_reload_in_the_middle_loses_nothing(visit: Visit, program: PageProgram, answering: Answering) -> None:
    """The page that is loaded anew shows the answer as far as it is, and goes on with it in the same place."""
    page = await visit(program.url, "Ann")
    await say(page, f"@fennel {QUESTION}")
    question = await answering.next()
    await answering.grow(question, "You have")
    await expect(page.locator(".post.grows")).to_contain_text("You have")
    await page.reload()
    await expect(page.locator(".post.grows")).to_contain_text("You have")
    await answering.grow(question, "You have thirty")
    await expect(page.locator(".post.grows")).to_contain_text("You have thirty")
    await answering.end(question, ANSWER)
    await expect(page.locator(".post.answered")).to_contain_text("thirty days off")
    await expect(page.locator(".post.ours")).to_have_count(1)


async def test_a_bot_that_is_killed_comes_back(visit: Visit, program: PageProgram, answering: Answering) -> None:
    """The open page tells that the connection is gone, comes back by itself, and shows the one answer."""
    page = await visit(program.url, "Ann")
    await say(page, f"@fennel {QUESTION}")
    question = await answering.next()
    await answering.grow(question, "You have")
    await expect(page.locator(".post.grows")).to_contain_text("You have")
    program.kill()
    await expect(page.locator("#trouble")).to_be_visible()
    await say(page, "@fennel nobody hears this yet")
    await expect(page.locator("#problem")).to_have_text("This was not sent, please try again.")
    await answering.end(question, ANSWER)
    program.start()
    await expect(page.locator("#trouble")).to_be_hidden(timeout=60_000)
    await expect(page.locator(".post.answered")).to_contain_text("thirty days off")
    await expect(page.locator(".post.ours")).to_have_count(1)
    await page.press("#text", "Enter")
    await expect(page.get_by_text("nobody hears this yet")).to_be_visible()
    await answering.end(await answering.next(), "Now I do.")


async def test_alone_with_the_bot(visit: Visit, program: PageProgram, answering: Answering) -> None:
    """A room that nobody else reads; another room has words of its own."""
    ann, bob = await visit(program.url, "Ann"), await visit(program.url, "Bob")
    await ann.get_by_text("Only the bot and me").click()
    await say(ann, "How many?")
    question = await answering.next()
    assert question.heard == "direct"
    await answering.end(question, ANSWER)
    await expect(ann.locator(".post.answered")).to_be_visible()
    await bob.get_by_text("# support").click()
    await say(bob, "support only")
    await expect(bob.locator(".thread")).to_have_count(1)
    await ann.goto(f"{program.url}?room=general")
    await expect(ann.locator(".empty")).to_be_visible()


async def test_a_page_that_nobody_sees_keeps_no_connection(
    visit: Visit, program: PageProgram, answering: Answering
) -> None:
    """A browser has six for a site; when the page is looked at again, it shows what happened meanwhile."""
    page, bob = await visit(program.url, "Ann"), await visit(program.url, "Bob")
    await expect(page.locator("body[data-live]")).to_be_attached()
    await see(page, hidden=True)
    await say(bob, "while you were away")
    await expect(bob.get_by_text("while you were away")).to_be_visible()
    await expect(page.get_by_text("while you were away")).to_have_count(0)
    await see(page, hidden=False)
    await expect(page.get_by_text("while you were away")).to_be_visible()


async def see(page: Page, *, hidden: bool) -> None:
    """Somebody turns to another page, or back to this one."""
    await page.evaluate(
        """hidden => {
             Object.defineProperty(document, "hidden", {get: () => hidden, configurable: true});
             document.dispatchEvent(new Event("visibilitychange"));
           }""",
        hidden,
    )


async def test_nothing_that_is_written_runs(visit: Visit, program: PageProgram, answering: Answering) -> None:
    """A script in a name, a question, an answer and a source is letters; a picture is not fetched."""
    evil = "<img src=x onerror=\"document.title='evil'\"><script>document.title='evil'</script>"
    page = await visit(program.url, evil[:40])
    await say(page, f"@fennel {evil}")
    question = await answering.next()
    text = f"{evil} ![x](https://evil.example/x.png) [a](javascript:document.title='evil')"
    await answering.grow(question, text)
    await expect(page.locator(".post.grows")).to_contain_text("<script>")
    await answering.end(question, text, Citation(evil, "javascript:alert(1)", evil))
    await page.locator(".post.answered summary").click()
    await expect(page.locator(".post.answered blockquote")).to_contain_text("<script>")
    assert await page.title() == "#general · Fennel"
    assert await page.locator("#timeline img:not(.avatar img), #timeline script").count() == 0
    links = await page.locator("#timeline a").evaluate_all("links => links.map(one => one.getAttribute('href'))")
    assert links == ["https://evil.example/x.png"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_on_a_phone_everything_fits(
    visit: Visit, program: PageProgram, answering: Answering, scheme: str
) -> None:
    """Nothing is wider than the screen, also with long words, tables and code, and the composer can be reached."""
    page = await visit(program.url, "韩梅梅", locale="zh-CN", viewport=PHONE, color_scheme=scheme, has_touch=True)
    await page.get_by_label("叫机器人").tap()
    await page.locator("#text").press_sequentially("出差报销多久到账？")
    await expect(page.locator("body[data-live]")).to_be_attached()
    await page.locator("#composer .go").tap()
    question = await answering.next()
    assert (question.text, question.language) == ("出差报销多久到账？", "zh")
    table = "| 材料 | 要求 |\n| --- | --- |\n| 电子发票 | " + "很长" * 40 + " |\n\n```\n" + "x" * 200 + "\n```\n"
    await answering.end(question, f"费用发生后 **30 天**内提交。\n\n{table}", *SOURCES)
    await expect(page.locator(".post.answered")).to_contain_text("30 天")
    await page.locator(".post.answered summary").first.tap()
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    await expect(page.locator("#composer .go")).to_be_in_viewport()
    await picture(page, f"room-zh-390-{scheme}")


async def test_the_first_paint_comes_soon(visit: Visit, program: PageProgram, answering: Answering) -> None:
    """A room with much in it is painted at once; a benchmark measures how soon."""
    page = await visit(program.url, "Ann")
    await page.reload()
    assert await page.evaluate(FIRST_PAINT_MS) < 5_000
