"""HTML: the main part of a page, by way of Markdown.

Beautiful Soup reads whatever browsers read, markdownify keeps headings, lists, tables and code.
"""

from __future__ import annotations

import re

from bs4 import BeautifulSoup, Tag
from markdownify import MarkdownConverter

from workers.knowledge.document import Section
from workers.knowledge.encoding import decode, plain
from workers.knowledge.reader import Reader, Reading
from workers.knowledge.readers.markdown import markdown_sections

_DECLARED = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w-]{1,40})", re.IGNORECASE)
_DECLARED_WITHIN_BYTES = 4096
# What surrounds a page's text on every page of a site.
_AROUND = (
    "script, style, noscript, template, iframe, svg, nav, footer, aside, form, button, [hidden], "
    "[aria-hidden=true], [role=navigation], [role=banner], [role=contentinfo], [role=search]"
)
_PARSER = "lxml"


class HtmlReader(Reader):
    """Reads web pages."""

    def prepare(self) -> None:
        """Beautiful Soup finds its parser when it first parses."""
        html_sections(parsed("<table><tr><td>text</td></tr></table>"))

    def read(self, content: bytes, name: str) -> Reading:  # noqa: ARG002 -- the interface names it
        """The title is the page's heading, else its <title>."""
        soup = BeautifulSoup(_text(content), _PARSER)
        named = soup.title.get_text(" ", strip=True) if soup.title else ""
        heading, sections = html_sections(soup)
        return Reading(heading or named, sections)


def html_sections(soup: BeautifulSoup) -> tuple[str, tuple[Section, ...]]:
    """The first heading of level 1 and the sections of a page's main part; takes the soup apart."""
    for around in soup.select(_AROUND):
        around.decompose()
    main = soup.select_one("main, [role=main]") or _only(soup.select("article")) or soup.body or soup
    for header in main.select("header"):
        if not header.find(["h1", "h2"]):
            header.decompose()
    _level(main)
    converter = _Converter(
        heading_style="ATX", bullets="-", strip=["a", "img"], table_infer_header=True, code_language_callback=_language
    )
    markdown = converter.convert_soup(main)
    return markdown_sections(markdown)


class _Converter(MarkdownConverter):
    """Keeps a bar inside a cell from ending it."""

    def convert_td(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        return str(super().convert_td(el, text.replace("|", "\\|"), parent_tags))  # type: ignore[misc]  # its stubs lack it

    def convert_th(self, el: Tag, text: str, parent_tags: set[str]) -> str:
        return str(super().convert_th(el, text.replace("|", "\\|"), parent_tags))  # type: ignore[misc]  # its stubs lack it


def parsed(html: str) -> BeautifulSoup:
    """A soup of HTML that another reader made."""
    return BeautifulSoup(html, _PARSER)


def _text(content: bytes) -> str:
    declared = _DECLARED.search(content[:_DECLARED_WITHIN_BYTES])
    if declared and not content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        encoding = declared.group(1).decode("ascii").lower()
        # Pages that say GB 2312 hold characters beyond it; browsers read them as what holds all of them.
        encoding = "gb18030" if encoding in ("gb2312", "gbk", "gb_2312-80", "x-gbk") else encoding
        try:
            return plain(content.decode(encoding))
        except (LookupError, UnicodeDecodeError):
            return decode(content)
    return decode(content)


def _only(tags: list[Tag]) -> Tag | None:
    return tags[0] if len(tags) == 1 else None


def _level(main: Tag) -> None:
    """Break up tables that hold headings or other tables: they lay the page out, and say nothing as tables."""
    for table in main.select("table"):
        if table.find(["table", "h1", "h2", "h3", "h4", "h5", "h6"]):
            for part in [table, *table.select("thead, tbody, tr, td, th")]:
                if part.find_parent("table") in (table, None) or part is table:
                    part.name = "div"


def _language(pre: Tag) -> str:
    inside = [pre, *pre.find_all("code", limit=1)]
    names = [name for tag in inside for name in (tag.get("class") or ())]
    if "literal-block" in names:  # docutils' way to write it
        return next((name for name in names if name not in ("code", "literal-block")), "")
    return next((name.partition("-")[2] for name in names if name.startswith(("language-", "lang-"))), "")
