"""An answer's Markdown as HTML that loads nothing, runs nothing and links to nothing but web pages."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

LINKED = ("http", "https", "mailto")


def is_link(url: str) -> bool:
    """Whether people may be led there."""
    try:
        return urlsplit(url.strip()).scheme.lower() in LINKED
    except ValueError:
        return False


class AnswerMarkdown:
    """Turns Markdown into HTML. Raw HTML in it is text, and a picture is its description."""

    def __init__(self) -> None:
        self._markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
        self._markdown.disable("image")
        self._markdown.validateLink = is_link  # type: ignore[method-assign]  # its documented way
        self._markdown.add_render_rule("link_open", _link_open)

    def html(self, text: str) -> str:
        """The text as HTML."""
        return str(self._markdown.render(text))


def _link_open(
    self: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, env: MutableMapping[str, Any]
) -> str:
    tokens[index].attrSet("target", "_blank")
    tokens[index].attrSet("rel", "noreferrer noopener")
    return str(self.renderToken(tokens, index, options, env))
