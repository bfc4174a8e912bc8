"""The list of the recorded decisions."""

from __future__ import annotations

import re

from config.environment import CHECKOUT
from pages.table import table

TITLE = re.compile(r"^# (?P<number>\d+)\. (?P<title>.*)$", re.MULTILINE)
STATE = re.compile(r"^Date: (?P<date>[\d-]+)\. Status: (?P<status>.*?)\.?$", re.MULTILINE)


def table_of_all() -> str:
    """Each decision with its date and whether it still holds. Raises ValueError for a record without its head."""
    rows = []
    for file in sorted((CHECKOUT / "docs" / "adr").glob("0*.md")):
        text = file.read_text(encoding="utf-8")
        title, state = TITLE.search(text), STATE.search(text)
        if title is None or state is None:
            raise ValueError(f"{file.name} has to begin with '# NUMBER. TITLE' and 'Date: …. Status: ….'")
        rows.append([title["number"], f"[{title['title']}]({file.name})", state["date"], state["status"]])
    return table(["Number", "Decision", "Date", "Status"], rows)
