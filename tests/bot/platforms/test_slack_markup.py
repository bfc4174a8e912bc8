"""Markdown made safe for Slack, cut into pieces, and turned into Slack's older markup."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.platform import Reply
from bot.platforms.slack import markup
from bot.platforms.slack.posts import POST_UNITS, growing_post, posts
from contract.answer import Citation, Outcome
from tests.bot.conftest import make_question
from tests.fakes.slack.content import check_blocks, notifies_everyone, shown
from tests.fakes.slack.rules import Rules


def reply(text: str, outcome: Outcome | None = Outcome.ANSWERED, **more: Any) -> Reply:
    return Reply(make_question(platform="slack"), text, outcome=outcome, **more)


# --- safe


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("see ![plan](https://evil.example/x.png) here", "see plan here"),
        ("see ![plan][1] and <img src=x onerror=y>.", "see plan and ."),
        ("![](https://evil.example/x.png)", ""),
        ("`![plan](x.png)`", "`![plan](x.png)`"),
        ("```\n![plan](x.png)\n```", "```\n![plan](x.png)\n```"),
        ("<!channel> `<!here>` &lt;!everyone&gt; <@U1>", "＜!channel> `＜!here>` ＜!everyone&gt; ＜@U1>"),
        ("a < b, [t](https://x.org), 1 <2", "a < b, [t](https://x.org), 1 <2"),
    ],
)
def test_markdown_calls_nobody_and_loads_nothing(text: str, safe: str) -> None:
    """Images go, mentions are broken, and everything else stays, code first of all."""
    assert markup.safe_markdown(text) == safe
    assert not notifies_everyone(safe)


@pytest.mark.parametrize(
    ("text", "shown_now"),
    [
        ("see ![pl", "see "),
        ("see ![plan](https://x", "see "),
        ("hi @al", "hi "),
        ("so <!chan", "so "),
        ("a [link](https://x", "a [link](https://x"),
        ("done.", "done."),
    ],
)
def test_a_growing_text_stops_before_what_may_change(text: str, shown_now: str) -> None:
    """What is not finished and would be shown otherwise later is held back."""
    assert markup.finished(text) == shown_now


def test_growing_text_only_ever_grows() -> None:
    """Each longer text of an answer begins with what was shown of the shorter ones."""
    text = "A **bold** ![image](https://x/y.png) word.\n\n| a | b |\n|---|---|\n| 1 | <b> |\n\n```py\nx\n```\n"
    before = ""
    for end in range(len(text) + 1):
        now = growing_post(reply(text[:end], None)).markdown
        assert now.startswith(before) or before.startswith(now)
        before = max(before, now, key=len)
    assert before == posts(reply(text))[0].markdown


# --- tables


@pytest.mark.parametrize(
    ("table", "code"),
    [
        ("| name | days |\n|:--|--:|\n| full | 30 |", "```\nname | days\nfull | 30\n```"),
        ("|职位|天数|\n|-|-|\n|全职员工|30|", "```\n职位     | 天数\n全职员工 | 30\n```"),
        (r"| a | b |\n|---|---|\n| x \| y | **z** |".replace("\\n", "\n"), "```\na     | b\nx | y | z\n```"),
        ("| a | b | c |\n|--|--|--|\n| 1 |  | 3 |\n| 4 |", "```\na | b | c\n1 |   | 3\n4\n```"),
        ("| just a line with bars |", "| just a line with bars |"),
        ("```\n| a |\n|---|\n```", "```\n| a |\n|---|\n```"),
    ],
)
def test_a_table_is_code_with_columns(table: str, code: str) -> None:
    """A table's columns stand below each other, Chinese ones too; what is no table, or code already, stays."""
    assert markup.tables_as_code(f"Before\n\n{table}\n\nafter") == f"Before\n\n{code}\n\nafter"


@given(st.lists(st.sampled_from(["| a | b |", "|---|---|", "|", "", "x", "```", "~~~", "| 汉 |"])))
def test_any_lines_with_bars_are_got_over(lines: list[str]) -> None:
    """Broken tables lose no word."""
    text = "\n".join(lines)
    shown_now = markup.tables_as_code(text)
    assert [shown_now.count(letter) for letter in "ab汉x"] == [text.count(letter) for letter in "ab汉x"]


# --- mrkdwn


@pytest.mark.parametrize(
    ("markdown", "mrkdwn"),
    [
        ("**bold** and *italic* and ~~gone~~", "*bold* and _italic_ and ~gone~"),
        ("# Title **now**", "*Title now*"),
        ("- one\n  * two\n1. three", "• one\n  • two\n1. three"),
        ("a [page](https://x.org/a?b=1&c=2)", "a <https://x.org/a?b=1&amp;c=2|page>"),
        ("[bad](javascript:alert(1))", "[bad](javascript:alert(1))"),
        ("a < b & c > d", "a &lt; b &amp; c &gt; d"),
        ("`**x** <y>` z", "`**x** &lt;y&gt;` z"),
        ("```python\n# not a title\n- x\n```", "```\n# not a title\n- x\n```"),
        ("> said\n---", "> said\n———"),
        ("| name | days |\n|:--|--:|\n| full | 30 |", "```\nname | days\nfull | 30\n```"),
        ("2 * 3 * 4 and snake_case_name", "2 * 3 * 4 and snake_case_name"),
    ],
)
def test_markdown_becomes_mrkdwn(markdown: str, mrkdwn: str) -> None:
    """Slack's older markup says the same."""
    assert markup.mrkdwn(markdown) == mrkdwn


# --- posts


CITATIONS = (
    Citation("Holidays", "https://wiki.example/h|o>l.html", "Everybody has 30 days.\nAll of them."),
    Citation("A <!channel> title", "handbook/a.md", "x" * 1_000),
)


def test_sources_have_links_and_quotes() -> None:
    """A source with an address is a link, one without is named, and neither can say anything of its own in markup."""
    (post,) = posts(reply("Yes [1].", citations=CITATIONS))
    sources = post.blocks[1]["text"]["text"]
    assert "[1] <https://wiki.example/h%7Co%3El.html|Holidays>\n> Everybody has 30 days. All of them." in sources
    assert "[2] A ＜!channel&gt; title — handbook/a.md" in sources
    assert f"> {'x' * 239}…" in sources


@pytest.mark.parametrize("count", [0, 1, 20])
@pytest.mark.parametrize("letter", ["a", "汉", "😀", "&"])
@pytest.mark.parametrize("length", [1, POST_UNITS - 1, POST_UNITS, POST_UNITS + 1, 30_000])
def test_slack_takes_every_post(count: int, letter: str, length: int) -> None:
    """However long an answer and its sources are, each message is within the limits, whatever Slack counts."""
    citations = tuple(Citation(f"Title {n} {letter * 100}", f"docs/{n}.md", letter * 3_000) for n in range(count))
    for post in posts(reply(letter * length, citations=citations)):
        for unit in ("characters", "utf16"):
            check_blocks(post.blocks, Rules(length_unit=unit))
            assert Rules(length_unit=unit).length(post.notice) <= 4_000


@pytest.mark.parametrize("length", [1, 9_000])
def test_slack_takes_every_post_without_markdown_blocks(length: int) -> None:
    """The older form is within the limits too, and says as much."""
    (post,) = posts(reply("word " * (length // 5) + "end", citations=CITATIONS))
    check_blocks(post.plain_blocks, Rules())
    assert shown(post.plain_blocks).count("word") == length // 5
    assert "Holidays" in shown(post.plain_blocks)


@pytest.mark.parametrize("outcome", [None, *Outcome])
def test_only_an_answer_is_judged(outcome: Outcome | None) -> None:
    """Buttons and sources stand below answers and nothing else."""
    (post,) = posts(reply("Text.", outcome, citations=CITATIONS))
    assert len(post.blocks) == (3 if outcome is Outcome.ANSWERED else 1)
