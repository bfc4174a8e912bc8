"""PDF: PDFium's text with its place on the page, from which paragraphs, tables and running heads are told.

A PDF knows no paragraphs: it places runs of letters. What stands side by side and in columns below one another is a
table; lines close to one another are a paragraph; what comes again on most pages is a running head.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pypdfium2
from pypdfium2 import PdfDocument, PdfiumError, PdfTextPage

from workers.knowledge.document import DocumentError, Section
from workers.knowledge.encoding import plain
from workers.knowledge.reader import Reader, Reading
from workers.knowledge.table import markdown_table
from workers.knowledge.words import CJK

_PASSWORD_NEEDED = pypdfium2.raw.FPDF_ERR_PASSWORD
_LEAST_CHARACTERS = 8  # on a page; fewer are a scanner's stamp
_RUNNING_SHARE = 0.6  # of the pages that a line must stand on to be a running head
_RUNNING_PAGES = 3  # with fewer pages nothing tells a running head from text
_WORD_GAP = 0.8  # of a line's height: a wider gap parts two cells
_PARAGRAPH_GAP = 0.4  # of a line's height: a wider gap parts two paragraphs
_SAME_SIZE = 1.25
_NEAR_MARK = 12
_ENDS = re.compile(r"[.!?。！？…:：;；][”’」』）)\"']*$")
_CJK_END, _CJK_BEGIN = re.compile(rf"[{CJK}，。、；：？！”）]$"), re.compile(rf"^[{CJK}，。、；：？！“（]")


@dataclass(slots=True)
class _Line:
    """Text on one height of a page; several cells where wide gaps stand between them. Points, from the bottom left."""

    cells: list[str]
    lefts: list[float]
    right: float
    bottom: float
    top: float

    @property
    def text(self) -> str:
        return " ".join(self.cells)

    @property
    def height(self) -> float:
        return max(self.top - self.bottom, 1.0)


class PdfReader(Reader):
    """Reads PDF files that hold text."""

    def read(self, content: bytes, name: str) -> Reading:  # noqa: ARG002 -- the interface names it
        """Sections by page and, where the file has an outline, by its headings."""
        try:
            with PdfDocument(content) as document:
                return _reading(document)
        except PdfiumError as error:
            if getattr(error, "err_code", None) == _PASSWORD_NEEDED:
                raise DocumentError("is encrypted: save it without a password") from error
            raise DocumentError(f"is a damaged PDF ({error})") from error


def _reading(document: PdfDocument) -> Reading:
    pages = [_page_lines(document, number) for number in range(len(document))]
    empty = sum(sum(len(line.text) for line in page) < _LEAST_CHARACTERS for page in pages)
    if empty == len(pages):
        raise DocumentError("is scanned: its pages are pictures without text; run it through text recognition (OCR)")
    _drop_running(pages)
    sections = _joined_over_pages(_sections(pages, _outline(document)))
    title = " ".join(plain(document.get_metadata_value("Title") or "-").split()).strip("-")
    note = f"{empty} of {len(pages)} pages hold no text" if empty else ""
    return Reading(title, tuple(sections), note)


def _page_lines(document: PdfDocument, number: int) -> list[_Line]:
    page = document[number]
    text_page = page.get_textpage()
    try:
        return _lines(text_page)
    finally:
        text_page.close()
        page.close()


def _lines(page: PdfTextPage) -> list[_Line]:
    """The runs of a page in the order in which they were written, those on one height joined."""
    lines: list[_Line] = []
    for number in range(page.count_rects()):
        left, bottom, right, top = page.get_rect(number)
        text = " ".join(page.get_text_bounded(left, bottom, right, top).split())
        if not text:
            continue
        bottom, top = _full_height(page, left, bottom, top)
        line = lines[-1] if lines else None
        if line is None or left < line.right - 1 or not _level(line, bottom, top):
            lines.append(_Line([text], [left], right, bottom, top))
            continue
        if left - line.right > _WORD_GAP * line.height:
            line.cells.append(text)
            line.lefts.append(left)
        else:
            space = "" if left - line.right < 0.15 * line.height or _is_chinese_joint(line.cells[-1], text) else " "
            line.cells[-1] += space + text
        line.right, line.bottom, line.top = right, min(line.bottom, bottom), max(line.top, top)
    return lines


def _full_height(page: PdfTextPage, left: float, bottom: float, top: float) -> tuple[float, float]:
    """The height of the font's letters where a run begins: a run without g or l is lower than its neighbours."""
    index = page.get_index(left, (bottom + top) / 2, 3, max(2.0, (top - bottom) / 2))
    if index is None:
        return bottom, top
    _, low, _, high = page.get_charbox(index, loose=True)
    return (low, high) if low <= bottom + 1 and high >= top - 1 else (bottom, top)


def _level(line: _Line, bottom: float, top: float) -> bool:
    overlap = min(line.top, top) - max(line.bottom, bottom)
    return overlap > 0.5 * min(line.height, max(top - bottom, 1.0))


def _drop_running(pages: list[list[_Line]]) -> None:
    """Take away the first and last lines that most pages have, but for their numbers."""
    if len(pages) < _RUNNING_PAGES:
        return
    ends = [{_without_numbers(line) for line in (*page[:2], *page[-2:])} for page in pages]
    counts = Counter(line for page in ends for line in page)
    running = {line for line, count in counts.items() if count >= _RUNNING_SHARE * len(pages) and count > 1}
    for page in pages:
        last = len(page)
        page[:] = [
            line
            for number, line in enumerate(page)
            if not ((number < 2 or number >= last - 2) and _without_numbers(line) in running)
        ]


def _without_numbers(line: _Line) -> str:
    return re.sub(r"\d+|\b[ivxlc]+\b", "#", line.text.strip())


def _outline(document: PdfDocument) -> dict[int, list[tuple[int, str]]]:
    """The outline's entries by page number from 0: their level from 0, and their text."""
    entries: dict[int, list[tuple[int, str]]] = {}
    for bookmark in document.get_toc(max_depth=6):
        target = bookmark.get_dest()
        page = target.get_index() if target is not None else None
        title = " ".join(bookmark.get_title().split())
        if page is not None and title:
            entries.setdefault(page, []).append((bookmark.level, title))
    return entries


def _sections(pages: Sequence[Sequence[_Line]], outline: dict[int, list[tuple[int, str]]]) -> Iterator[Section]:
    path: list[tuple[int, str]] = []
    for number, lines in enumerate(pages):
        wanted = list(outline.get(number, ()))
        held: list[_Line] = []
        for line in lines:
            at = next((place for place, (_, title) in enumerate(wanted) if _same(title, line.text)), None)
            if at is None:
                held.append(line)
                continue
            yield Section(tuple(name for _, name in path), tuple(_blocks(held)), number + 1)
            for level, title in wanted[: at + 1]:
                path = [(above, name) for above, name in path if above < level] + [(level, title)]
            held, wanted = [], wanted[at + 1 :]
        yield Section(tuple(name for _, name in path), tuple(_blocks(held)), number + 1)
        for level, title in wanted:  # entries whose words do not stand on the page as a line
            path = [(above, name) for above, name in path if above < level] + [(level, title)]


def _same(title: str, line: str) -> bool:
    plain_title, plain_line = ("".join(text.split()).casefold() for text in (title, line))
    return plain_line.endswith(plain_title) and len(plain_line) - len(plain_title) <= _NEAR_MARK


def _blocks(lines: Sequence[_Line]) -> Iterator[str]:
    at = 0
    while at < len(lines):
        end = _table_end(lines, at)
        if end - at > 1:
            yield markdown_table(_rows(lines[at:end]))
            at = end
            continue
        text = lines[at].text
        end = at + 1
        while end < len(lines) and _goes_on(lines[end - 1], lines[end]) and _table_end(lines, end) - end < 2:
            text = _joined(text, lines[end].text)
            end += 1
        yield text
        at = end


def _table_end(lines: Sequence[_Line], at: int) -> int:
    """Where a table that begins here ends: lines of cells of which most stand below the first line's."""
    first = lines[at]
    if len(first.cells) < 2:
        return at
    end = at + 1
    while end < len(lines) and (len(lines[end].cells) > 1 or len(first.cells) == 2) and _fits(first, lines[end]):
        end += 1
    # A line of one cell belongs to a table's middle, not to its end.
    while end > at and len(lines[end - 1].cells) < 2:
        end -= 1
    return end


def _fits(first: _Line, line: _Line) -> bool:
    if line.top > first.bottom + first.height or len(line.cells) > len(first.cells):
        return False
    return all(_column(first, left) is not None for left in line.lefts)


def _column(first: _Line, left: float) -> int | None:
    near = min(range(len(first.lefts)), key=lambda column: abs(first.lefts[column] - left))
    return near if abs(first.lefts[near] - left) <= 2 * first.height else None


def _rows(lines: Sequence[_Line]) -> list[list[str]]:
    rows = []
    for line in lines:
        row = [""] * len(lines[0].cells)
        for left, text in zip(line.lefts, line.cells, strict=True):
            column = _column(lines[0], left) or 0
            row[column] = f"{row[column]} {text}".strip()
        rows.append(row)
    return rows


def _goes_on(line: _Line, following: _Line) -> bool:
    """Whether the next line belongs to the same paragraph."""
    gap = line.bottom - following.top
    sizes = line.height / following.height
    return -line.height < gap < _PARAGRAPH_GAP * line.height and 1 / _SAME_SIZE < sizes < _SAME_SIZE


def _joined(text: str, following: str) -> str:
    if text.endswith("-") and following[:1].islower():
        return text[:-1] + following
    return f"{text}{'' if _is_chinese_joint(text, following) else ' '}{following}"


def _is_chinese_joint(text: str, following: str) -> bool:
    return bool(_CJK_END.search(text) and _CJK_BEGIN.search(following))


def _joined_over_pages(sections: Iterator[Section]) -> list[Section]:
    """Give a sentence that goes over a page's end whole to the page on which it begins."""
    found: list[Section] = []
    for section in sections:
        blocks = list(section.blocks)
        before = found[-1] if found else None
        if before and blocks and before.page + 1 == section.page and before.heading == section.heading:
            last = before.blocks[-1]
            if not _ENDS.search(last) and not last.startswith("|") and not blocks[0].startswith("|"):
                head, rest = _first_sentence(blocks[0])
                found[-1] = Section(before.heading, (*before.blocks[:-1], _joined(last, head)), before.page)
                blocks[0] = rest
        kept = tuple(block for block in blocks if block)
        if kept:
            found.append(Section(section.heading, kept, section.page))
    return found


def _first_sentence(block: str) -> tuple[str, str]:
    end = re.search(r"[。！？][”’」』）]*|[.!?][”’)\"']*(?=\s|$)", block)
    return (block[: end.end()], block[end.end() :].strip()) if end else (block, "")
