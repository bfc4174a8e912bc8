"""Spreadsheets and comma-separated values: a section for each sheet, a table for each block of rows.

A table with a question and an answer in its columns is a list of pairs.
"""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Iterator, Sequence

from python_calamine import CalamineError, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from workers.knowledge.document import DocumentError, Section
from workers.knowledge.encoding import decode
from workers.knowledge.reader import Reader, Reading
from workers.knowledge.readers.question_answer import pair_columns, pair_sections
from workers.knowledge.table import markdown_table

_DELIMITERS = ",;\t|"
_SAMPLE_CHARACTERS = 8192
_LONGEST_FIELD = 1_000_000

Rows = Sequence[Sequence[str]]


class XlsxReader(Reader):
    """Reads .xlsx files; hidden sheets and formulas' texts are left out, their values are kept."""

    def read(self, content: bytes, name: str) -> Reading:  # noqa: ARG002 -- the interface names it
        """A section for each sheet that has any cell filled, in the workbook's order."""
        sections: list[Section] = []
        try:
            workbook = CalamineWorkbook.from_filelike(io.BytesIO(content))
            for sheet in workbook.sheets_metadata:
                if sheet.visible != SheetVisibleEnum.Visible or sheet.typ != SheetTypeEnum.WorkSheet:
                    continue
                rows = [[_shown(value) for value in row] for row in workbook.get_sheet_by_name(sheet.name).iter_rows()]
                sections.extend(_sections(rows, (sheet.name,)))
        except CalamineError as error:
            raise DocumentError(f"is damaged, or not an Excel workbook: {str(error)[:120]}") from error
        return Reading("", tuple(sections))


class CsvReader(Reader):
    """Reads values that are separated by commas, semicolons, tabs or bars."""

    def read(self, content: bytes, name: str) -> Reading:  # noqa: ARG002 -- the interface names it
        """One section with the table, or one for each question."""
        text = decode(content)
        csv.field_size_limit(_LONGEST_FIELD)
        try:
            dialect: type[csv.Dialect] = csv.Sniffer().sniff(text[:_SAMPLE_CHARACTERS], _DELIMITERS)
        except csv.Error:
            dialect = csv.excel
        try:
            rows = list(csv.reader(io.StringIO(text, newline=""), dialect))
        except csv.Error as error:
            raise DocumentError(f"is no table of separated values: {error}") from error
        return Reading("", tuple(_sections(rows, ())))


def _sections(rows: Rows, heading: tuple[str, ...]) -> Iterator[Section]:
    tables = list(_tables(rows))
    for table in tables:
        columns = pair_columns(table[0])
        if columns:
            yield from pair_sections(((row[columns[0]], row[columns[1]]) for row in table[1:]), heading)
        else:
            yield Section(heading, (markdown_table(table),))


def _tables(rows: Rows) -> Iterator[list[list[str]]]:
    """Blocks of rows with empty rows between them, each of one width."""
    held: list[list[str]] = []
    for row in [*rows, []]:
        if any(cell.strip() for cell in row):
            held.append(list(row))
        elif held:
            width = max(map(len, held))
            yield [[*one, *[""] * (width - len(one))] for one in held]
            held = []


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.10g}"
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat(" ", "minutes")
    return str(value)
