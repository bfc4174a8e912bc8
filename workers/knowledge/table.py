"""Tables as Markdown, the form in which passages keep them."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row names the columns; rows and columns without any text are left out."""
    filled = [[" ".join(cell.split()) for cell in row] for row in rows]
    filled = [row for row in filled if any(row)]
    if not filled:
        return ""
    width = max(len(row) for row in filled)
    filled = [[*row, *[""] * (width - len(row))] for row in filled]
    kept = [column for column in range(width) if any(row[column] for row in filled)]
    lines = [f"| {' | '.join(row[column].replace('|', chr(92) + '|') for column in kept)} |" for row in filled]
    return "\n".join([lines[0], f"| {' | '.join(['---'] * len(kept))} |", *lines[1:]])
