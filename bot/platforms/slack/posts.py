"""A reply as Slack messages: text and blocks of each, within Slack's limits.

Limits: https://docs.slack.dev/reference/block-kit/blocks. All blocks of a message together take about 13,200
characters, which is measured and not documented, and Markdown blocks 12,000.
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass
from typing import Any

from bot import rendering
from bot.phrases import phrase
from bot.platform import Reply
from bot.platforms.slack import markup
from bot.platforms.slack.events import FEEDBACK_ACTION
from contract.answer import Citation, Outcome

Block = dict[str, Any]

POST_UNITS = 10_000
"""Of an answer in one message; room is left for the sources below it."""
NOTICE_UNITS = 2_900
SECTION_UNITS = 2_900
TITLE_CHARACTERS = 150
QUOTE_CHARACTERS = (240, 100, 0)
"""A source's quote at most; shorter where all of them do not fit."""

_PERSON = re.compile("[UW][A-Z0-9]+")


@dataclass(frozen=True, slots=True)
class Post:
    """One message of an answer. `tail` are the blocks below its text; `part` counts from 0."""

    part: int
    markdown: str
    tail: tuple[Block, ...] = ()

    @property
    def blocks(self) -> list[Block]:
        """The message as blocks."""
        return [{"type": "markdown", "text": self.markdown}, *self.tail]

    @property
    def plain_blocks(self) -> list[Block]:
        """The same where Slack does not take Markdown blocks or buttons."""
        pieces = markup.pieces(markup.mrkdwn(self.markdown), SECTION_UNITS)
        return [*(_section(piece) for piece in pieces), *(one for one in self.tail if one["type"] == "section")]

    @property
    def notice(self) -> str:
        """What notifications and screen readers say."""
        return markup.pieces(markup.mrkdwn(self.markdown), NOTICE_UNITS)[0]


def posts(reply: Reply) -> list[Post]:
    """The messages that show a whole reply; the last of them has the sources and the buttons."""
    pieces = markup.pieces(_markdown(reply.text), POST_UNITS)
    last = len(pieces) - 1
    return [Post(part, piece, _tail(reply) if part == last else ()) for part, piece in enumerate(pieces)]


def growing_post(reply: Reply) -> Post:
    """The one message that shows a reply while it grows: its beginning, as far as nothing changes it any more."""
    return Post(0, markup.pieces(_markdown(markup.finished(reply.text)), POST_UNITS)[0])


def _markdown(text: str) -> str:
    return markup.tables_as_code(markup.safe_markdown(text))


def _tail(reply: Reply) -> tuple[Block, ...]:
    # A Markdown block calls nobody; and what is no id of Slack's is not written in its markup.
    called = [f"<@{person}>" for person in reply.mentions if _PERSON.fullmatch(person)]
    if called:
        return (_section(" ".join(called)),)
    if reply.outcome is not Outcome.ANSWERED:
        return ()
    sources = (_section(_sources(reply)),) if reply.citations else ()
    return (*sources, _feedback(reply.question.id))


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _sources(reply: Reply) -> str:
    """The citations as a numbered list, each with its quote as far as there is room."""
    heading = f"*{phrase(reply.question.language, 'sources')}*"
    for quote_characters in QUOTE_CHARACTERS:
        lines = [_source(number, one, quote_characters) for number, one in enumerate(reply.citations, start=1)]
        text = "\n".join([heading, *lines])
        if markup.units(text) <= SECTION_UNITS:
            return text
    while markup.units("\n".join([heading, *lines])) > SECTION_UNITS:
        lines.pop()
    return "\n".join([heading, *lines])


def _source(number: int, citation: Citation, quote_characters: int) -> str:
    title = _one_line(citation.title or citation.source, TITLE_CHARACTERS)
    source = _one_line(citation.source, 4 * TITLE_CHARACTERS)
    address = _address(citation.source)
    if address:
        line = f"[{number}] <{address}|{title}>"
    else:
        line = f"[{number}] {title}" + (f" — {source}" if source != title else "")
    quote = _one_line(citation.quote, quote_characters) if quote_characters else ""
    return f"{line}\n> {quote}" if quote else line


def _one_line(text: str, characters: int) -> str:
    line = " ".join(rendering.safe(text).split())
    cut = line if len(line) <= characters else f"{line[: characters - 1].rstrip()}…"
    return markup.escaped(cut.replace("|", "¦"))


def _address(source: str) -> str:
    """The source as the address of a link; empty where it is none, or a dubious one."""
    if not source.startswith(("https://", "http://")) or len(source) > 1_000:
        return ""
    return urllib.parse.quote(source, safe=":/?#[]@!$'()*+,;=%&~").replace("&", "&amp;")


def _feedback(question_id: str) -> Block:
    def button(sign: str, verdict: str) -> Block:
        return {"text": {"type": "plain_text", "text": sign, "emoji": True}, "value": f"{verdict}:{question_id}"}

    return {
        "type": "context_actions",
        "elements": [
            {
                "type": "feedback_buttons",
                "action_id": FEEDBACK_ACTION,
                "positive_button": button("👍", "good"),
                "negative_button": button("👎", "bad"),
            }
        ],
    }
