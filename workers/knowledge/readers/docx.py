"""Word: mammoth knows its styles, lists, tables and tracked changes; its HTML is read as a page."""

from __future__ import annotations

import io

import mammoth

from workers.knowledge.reader import Reader, Reading
from workers.knowledge.readers.html import html_sections, parsed

# Mammoth maps the headings itself, by the names that Word gives them in every language.
_STYLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => p:fresh"


class DocxReader(Reader):
    """Reads .docx files; pictures, headers and footers are left out."""

    def prepare(self) -> None:
        """The standard library's XML parser is imported when mammoth first parses."""
        import xml.dom.expatbuilder
        import xml.dom.pulldom
        import xml.sax.expatreader
        import xml.sax.handler  # noqa: F401

        html_sections(parsed("<p>text</p>"))

    def read(self, content: bytes, name: str) -> Reading:  # noqa: ARG002 -- the interface names it
        """The title is the paragraph of that style, else the first heading of level 1."""
        result = mammoth.convert_to_html(
            io.BytesIO(content), style_map=_STYLES, convert_image=mammoth.images.img_element(lambda _: {})
        )
        title, sections = html_sections(parsed(result.value))
        return Reading(title, sections)
