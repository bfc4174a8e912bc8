"""PowerPoint: a section for each slide, with its tables and the speaker's notes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from pptx import Presentation

from workers.knowledge.document import Section
from workers.knowledge.reader import Reader, Reading
from workers.knowledge.table import markdown_table


class PptxReader(Reader):
    """Reads .pptx files; a slide counts as a page."""

    def read(self, content: bytes, name: str) -> Reading:  # noqa: ARG002 -- the interface names it
        """The title is the presentation's own, else that of its first slide."""
        presentation = Presentation(io.BytesIO(content))
        sections = []
        for page, slide in enumerate(presentation.slides, 1):
            title = _line(slide.shapes.title.text_frame.text) if slide.shapes.title is not None else ""
            blocks = [block for shape in slide.shapes for block in _blocks(shape, slide.shapes.title)]
            if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
                blocks.append(slide.notes_slide.notes_text_frame.text.strip())
            # A slide with a title alone still says something: its title.
            blocks = [block for block in blocks if block] or ([title] if title else [])
            sections.append(Section((title,) if title else (), tuple(blocks), page))
        first = sections[0].heading if sections else ()
        return Reading(_line(presentation.core_properties.title or "") or "".join(first), tuple(sections))


def _blocks(shape: Any, title: Any) -> Iterator[str]:
    if title is not None and shape.shape_id == title.shape_id:
        return
    if hasattr(shape, "shapes"):  # a group
        for inner in shape.shapes:
            yield from _blocks(inner, title)
    elif shape.has_text_frame:
        lines = [(paragraph.level, _line(paragraph.text)) for paragraph in shape.text_frame.paragraphs]
        lines = [(level, line) for level, line in lines if line]
        if len(lines) > 1:
            yield "\n".join(f"{'  ' * level}- {line}" for level, line in lines)
        else:
            yield "".join(line for _, line in lines)
    elif getattr(shape, "has_table", False):
        yield markdown_table([[cell.text_frame.text for cell in row.cells] for row in shape.table.rows])


def _line(text: str) -> str:
    # PowerPoint writes a line break inside a paragraph as a vertical tab.
    return " ".join(text.replace("\v", " ").split())
