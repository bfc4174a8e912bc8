"""reStructuredText: docutils reads it, with Sphinx's roles and directives let through as what they hold.

Nothing that a text names is opened: no file is included, nothing raw is passed on.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Sequence
from typing import Any

import docutils.parsers.rst.directives
import docutils.transforms
import docutils.utils.math
from docutils import nodes
from docutils.core import publish_doctree
from docutils.frontend import get_default_settings
from docutils.parsers.rst import Directive, Parser, directives, roles
from docutils.parsers.rst.languages import en
from docutils.transforms.writer_aux import Admonitions
from docutils.writers.html5_polyglot import HTMLTranslator, Writer

from workers.knowledge.encoding import decode
from workers.knowledge.reader import Reader, Reading
from workers.knowledge.readers.html import html_sections, parsed

_ROLE = re.compile(r":([a-zA-Z][\w:.+-]*):`")
_DIRECTIVE = re.compile(r"^\s*\.\. (?:\|[^|\n]+\| )?([a-zA-Z][\w:.+-]*)::", re.MULTILINE)
_TARGET = re.compile(r"\s*<[^<>]*>$")
_WITHOUT_TEXT = ("toctree", "index", "contents", "tableofcontents", "include", "literalinclude", "raw", "image", "meta")
_SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "_disable_config": True,
    "report_level": 5,
    "halt_level": 5,
    "syntax_highlight": "none",
    "math_output": "LaTeX",
    "embed_stylesheet": False,
    "stylesheet_path": None,
    "initial_header_level": 2,
}


class RestructuredTextReader(Reader):
    """Reads reStructuredText."""

    def prepare(self) -> None:
        """Docutils imports a directive's module when it first meets the directive, and much else besides."""
        for package in (docutils.parsers.rst.directives, docutils.transforms, docutils.utils.math):
            for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
                importlib.import_module(module.name)
        self.read(b"Text\n====\n\n.. note:: text :math:`x`\n\n- text\n", "")

    def read(self, content: bytes, name: str) -> Reading:  # noqa: ARG002 -- the interface names it
        """The title is the document's, as docutils finds it."""
        text = decode(content)
        _let_through(text)
        settings = get_default_settings(Parser(), Writer())
        for key, value in _SETTINGS.items():
            setattr(settings, key, value)
        tree = publish_doctree(text, settings=settings)
        Admonitions(tree).apply()  # else the publisher's work; but that opens its templates, and no file may be opened
        translator = HTMLTranslator(tree)
        tree.walkabout(translator)
        heading, sections = html_sections(parsed("".join(translator.body)))
        return Reading(str(tree.get("title", "")) or heading, sections)


class _Unknown(Directive):
    """A directive of Sphinx or another tool: what stands in it is text; its options are not."""

    optional_arguments = 100
    has_content = True

    class _AnyOption(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            return directives.unchanged

    option_spec = _AnyOption(any=directives.unchanged)

    def run(self) -> Sequence[nodes.Node]:
        if self.name in _WITHOUT_TEXT:
            return []
        inside = nodes.Element()
        if self.arguments:
            said, _ = self.state.inline_text(" ".join(self.arguments), self.lineno)
            inside += nodes.paragraph("", "", *said)
        self.state.nested_parse(self.content, self.content_offset, inside)
        return inside.children


def _unknown_role(
    _name: str, rawtext: str, text: str, _line: int, _inliner: Any, _options: Any = None, _content: Any = ()
) -> tuple[list[nodes.Node], list[nodes.Node]]:
    """A role of Sphinx, such as :ref:`text <target>`: its text."""
    shown = _TARGET.sub("", text).lstrip("!~")
    return [nodes.inline(rawtext, shown)], []


def _let_through(text: str) -> None:
    """Register what docutils does not know; an unknown role or directive would cost its whole paragraph."""
    for name in {found.lower() for found in _ROLE.findall(text)}:
        if name not in en.roles:
            roles.register_local_role(name, _unknown_role)  # type: ignore[arg-type]
    for name in set(_DIRECTIVE.findall(text)):
        if name in _WITHOUT_TEXT or name not in en.directives:
            directives.register_directive(name, _Unknown)
