"""How everything looks: posts, pages. Whatever comes from people, documents or the model is escaped here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from bot.platforms.web.markdown import AnswerMarkdown, is_link
from bot.platforms.web.people import Person
from bot.platforms.web.posts import Post, is_judged
from bot.platforms.web.words import words_of

FOLDER = Path(__file__).parent
STATIC_FOLDER = FOLDER / "static"
HUES = 10
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Reader:
    """For whom something is shown, and in which language."""

    person: Person | None
    language: str
    sees_tabs: bool = False

    @property
    def words(self) -> Mapping[str, str]:
        """The words of the page."""
        return words_of(self.language)


@dataclass(frozen=True, slots=True)
class Thread:
    """A post that begins a thread, where it is still kept, and what was said after it."""

    id: str
    root: Post | None
    replies: Sequence[Post]


class Look:
    """Makes HTML of posts and pages. `bot` is the bot's name."""

    def __init__(self, bot: str) -> None:
        self._markdown = AnswerMarkdown()
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            hue=_hue, initial=_initial, time=_time, moment=_moment, short=_short, hour=_hour, day=_day
        )
        self._templates.tests["link"] = is_link
        # A browser keeps the old file until its address is another.
        self._templates.globals.update(bot=bot, version=_version(), judged=is_judged)

    def page(self, template: str, reader: Reader, **values: Any) -> str:
        """A whole page."""
        return self._templates.get_template(template).render(reader=reader, words=reader.words, **values)

    def part(self, template: str, language: str, **values: Any) -> str:
        """A part of a page that is the same for everybody."""
        return self._templates.get_template(template).render(words=words_of(language), **values)

    def post(self, post: Post, reader: Reader, called: Sequence[str] = ()) -> str:
        """One post, as `reader` sees it; `called` are the names of the people that it calls."""
        text = Markup(self._markdown.html(post.text)) if post.is_reply and not post.is_notice else post.text  # noqa: S704 -- the Markdown is escaped there
        values = {"post": post, "text": text, "called": called, "reader": reader, "words": reader.words}
        return self._templates.get_template("post.html").render(**values)


def threads_of(posts: Sequence[Post]) -> list[Thread]:
    """The posts by thread, in the order in which the threads began."""
    roots: dict[str, Post | None] = {}
    replies: dict[str, list[Post]] = {}
    for post in posts:
        if post.root:
            roots.setdefault(post.root, None)
            replies.setdefault(post.root, []).append(post)
        else:
            roots[post.id] = post
    return [Thread(name, root, replies.get(name, [])) for name, root in roots.items()]


def _hue(person: str) -> int:
    """A colour of the person's own, by number."""
    return hashlib.sha256(person.encode("utf-8", "surrogatepass")).digest()[0] % HUES


def _initial(name: str) -> str:
    return next((one.upper() for one in name if one.isalnum()), "?")


def _time(at_s: float) -> str:
    """The hour in the server's time zone; the page turns it into the reader's."""
    return datetime.fromtimestamp(at_s).astimezone().strftime("%H:%M")


def _moment(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")


def _hour(at_s: float) -> str:
    return datetime.fromtimestamp(at_s).astimezone().strftime("%m-%d %H:%M:%S")


def _day(at_s: float) -> str:
    return datetime.fromtimestamp(at_s).astimezone().strftime("%Y-%m-%d %H:%M")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}…"


def _version() -> str:
    files = sorted(STATIC_FOLDER.iterdir())
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()[:12]
