"""Word: python-docx opens the package, and its XML is read as it stands: headings, lists, tables, text boxes.

Text that was inserted under tracked changes counts, text that was deleted does not. (Mammoth was tried first: its XML
parser takes a tenth of a millisecond for each element, which is more than embedding the text.)
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from typing import Any

import docx
from docx.oxml.ns import qn

from workers.knowledge.document import Section
from workers.knowledge.reader import Reader, Reading
from workers.knowledge.table import markdown_table

_PARAGRAPH, _TABLE, _ROW, _CELL = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc")
_TEXT_BOX = qn("w:txbxContent")
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"  # the same once more, for old Words
_LEFT_OUT = {qn("w:pPr"), qn("w:rPr"), qn("w:del"), qn("w:moveFrom"), qn("w:instrText"), _TEXT_BOX, _FALLBACK}
_SIGNS = {qn("w:tab"): " ", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
_HEADING = re.compile(r"(?:heading|标题) ?([1-9])$", re.IGNORECASE)
_TITLES = ("title", "标题")
_CONTENTS = re.compile(r"(?:toc|目录)\b", re.IGNORECASE)
_LIST = re.compile(r"list (?:bullet|number|paragraph)|列出段落|列表", re.IGNORECASE)


class DocxReader(Reader):
    """Reads .docx files; pictures, headers, footers and notes at the foot are left out."""

    def read(self, content: bytes, name: str) -> Reading:  # noqa: ARG002 -- the interface names it
        """The title is the paragraph of that style, else the document's property."""
        document = docx.Document(io.BytesIO(content))
        named = str(document.core_properties.title or "")
        found = _Outline(_style_names(document))
        found.take(document.element.body)
        return Reading(found.title or named, tuple(found.sections()))


class _Outline:
    """Puts paragraphs and tables below the headings that they stand under."""

    def __init__(self, styles: dict[str, str]) -> None:
        self._styles = styles
        self._path: list[tuple[int, str]] = []
        self._done: list[Section] = []
        self._blocks: list[str] = []
        self._in_list = False
        self.title = ""

    def sections(self) -> list[Section]:
        """What was taken so far."""
        self._end_section()
        return self._done

    def take(self, parent: Any) -> None:
        """Take what stands in a body, a cell or a text box, in order."""
        for child in parent:
            if child.tag == _PARAGRAPH:
                self._paragraph(child)
                for box in child.iter(_TEXT_BOX):
                    if not any(above.tag == _FALLBACK for above in box.iterancestors()):
                        self.take(box)
            elif child.tag == _TABLE:
                self._table(child)
            elif child.tag in (qn("w:sdt"), qn("w:sdtContent"), qn("w:ins"), qn("w:smartTag"), qn("w:customXml")):
                self.take(child)

    def _paragraph(self, paragraph: Any) -> None:
        text = _text(paragraph)
        if not text:
            return
        style = self._styles.get(_value(paragraph, "w:pPr/w:pStyle"), "")
        heading = _HEADING.match(style)
        level = int(heading.group(1)) if heading else int(_value(paragraph, "w:pPr/w:outlineLvl") or 9) + 1
        if style.casefold() in _TITLES and not self.title:
            self.title = text
        elif level < 10:
            self._end_section()
            self._path = [(above, name) for above, name in self._path if above < level] + [(level, text)]
        elif not _CONTENTS.match(style):
            self._add(text, paragraph, style)

    def _add(self, text: str, paragraph: Any, style: str) -> None:
        indent = _value(paragraph, "w:pPr/w:numPr/w:ilvl")
        in_list = bool(indent or _LIST.match(style))
        if in_list:
            text = f"{'  ' * int(indent or 0)}- {text}"
        if in_list and self._in_list:
            self._blocks[-1] += f"\n{text}"
        else:
            self._blocks.append(text)
        self._in_list = in_list

    def _table(self, table: Any) -> None:
        rows = [list(_cells(row)) for row in table.iter(_ROW) if _table_of(row) is table]
        self._in_list = False
        if len(rows) == 1 and len(rows[0]) == 1 and rows[0][0] is not None:
            self.take(rows[0][0])  # a frame around text
            return
        texts = [["" if cell is None else " ".join(_texts(cell)) for cell in row] for row in rows]
        if block := markdown_table(texts):
            self._blocks.append(block)

    def _end_section(self) -> None:
        if self._blocks:
            self._done.append(Section(tuple(name for _, name in self._path), tuple(self._blocks)))
        self._blocks, self._in_list = [], False


def _style_names(document: Any) -> dict[str, str]:
    return {style.style_id: style.name or "" for style in document.styles}


def _value(element: Any, path: str) -> str:
    found = element.find("/".join(qn(part) for part in path.split("/")))
    return "" if found is None else str(found.get(qn("w:val"), ""))


def _text(paragraph: Any) -> str:
    lines = "".join(_runs(paragraph)).split("\n")
    return "\n".join(line for line in (" ".join(one.split()) for one in lines) if line)


def _runs(element: Iterable[Any]) -> Iterator[str]:
    for child in element:
        if child.tag == qn("w:t"):
            yield child.text or ""
        elif child.tag in _SIGNS:
            yield _SIGNS[child.tag]
        elif child.tag not in _LEFT_OUT:
            yield from _runs(child)


def _texts(cell: Any) -> Iterator[str]:
    """The paragraphs of a cell, those of a table within it too."""
    return (text for paragraph in cell.iter(_PARAGRAPH) if (text := _text(paragraph)))


def _cells(row: Any) -> Iterator[Any]:
    """The cells of a row; None for one that an earlier cell or row covers."""
    for cell in row.iter(_CELL):
        if next(cell.iterancestors(_ROW)) is not row:
            continue
        merged = cell.find(f"{qn('w:tcPr')}/{qn('w:vMerge')}")
        yield None if merged is not None and merged.get(qn("w:val"), "continue") == "continue" else cell
        span = _value(cell, "w:tcPr/w:gridSpan")
        yield from [None] * (min(int(span), 64) - 1 if span else 0)


def _table_of(row: Any) -> Any:
    return next(row.iterancestors(_TABLE))
