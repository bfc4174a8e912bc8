"""Jupyter notebooks: text cells as Markdown, code cells as code with the text that they printed.

A notebook is JSON, which the standard library reads; nbformat would bring a dozen packages to check what is not kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from workers.knowledge.document import DocumentError
from workers.knowledge.encoding import decode
from workers.knowledge.reader import Reader, Reading
from workers.knowledge.readers.markdown import markdown_sections

_OUTPUT_LINES = 20


class NotebookReader(Reader):
    """Reads .ipynb files of format 3 and 4; pictures are left out."""

    def read(self, content: bytes, name: str) -> Reading:  # noqa: ARG002 -- the interface names it
        """The title is the first heading of level 1."""
        try:
            notebook = json.loads(decode(content))
        except ValueError as error:
            raise DocumentError("is no Jupyter notebook: it is not JSON") from error
        cells = _cells(notebook)
        if cells is None:
            raise DocumentError("is no Jupyter notebook: it has no cells")
        metadata = _mapping(notebook.get("metadata"))
        language = _mapping(metadata.get("language_info")).get("name") or "python"
        title, sections = markdown_sections("\n\n".join(part for cell in cells for part in _parts(cell, str(language))))
        return Reading(title, sections)


def _cells(notebook: Any) -> list[dict[str, Any]] | None:
    if not isinstance(notebook, dict):
        return None
    sheets = notebook.get("worksheets")  # format 3
    holders = sheets if isinstance(sheets, list) else [notebook]
    lists = [_mapping(one).get("cells") for one in holders]
    if not any(isinstance(cells, list) for cells in lists):
        return None
    return [cell for cells in lists if isinstance(cells, list) for cell in cells if isinstance(cell, dict)]


def _parts(cell: dict[str, Any], language: str) -> Iterator[str]:
    source = _joined(cell.get("source", cell.get("input")))
    kind = cell.get("cell_type")
    if kind == "markdown":
        yield source
    elif kind == "heading":
        yield f"{'#' * min(6, max(1, int(cell.get('level') or 1)))} {source}"
    elif kind == "code" and source.strip():
        yield f"````{language}\n{source}\n````"
        for output in cell.get("outputs") or ():
            said = _mapping(output)
            text = _joined(said.get("text") or _mapping(said.get("data")).get("text/plain"))
            if text.strip():
                yield "````\n" + "\n".join(text.split("\n")[:_OUTPUT_LINES]) + "\n````"


def _joined(text: Any) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text or "")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
