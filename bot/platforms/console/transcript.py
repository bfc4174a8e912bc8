"""The console's memory: what was said, one JSON object a line, so that a restarted bot knows what it has shown."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

KEEP_BYTES = 10 * 2**20
"""A longer transcript is put aside at the next start, in place of the one put aside before."""


class Transcript:
    """Appends lines to a file that only its owner may read, and finds replies in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reply_ids: dict[str, str] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.stat().st_size > KEEP_BYTES:
            path.replace(path.with_suffix(".old.jsonl"))
        path.touch(mode=0o600)
        self._read()

    def said(self, message_id: str, speaker: str, thread: str, text: str) -> None:
        """A person said something."""
        self._append({"kind": "said", "id": message_id, "speaker": speaker, "thread": thread, "text": text})

    def replied(self, question_id: str, text: str, outcome: str) -> str:
        """We replied; gives the reply's id, which is the same for each text of one reply."""
        reply_id = f"r-{question_id}"
        self._append({"kind": "replied", "id": reply_id, "question_id": question_id, "text": text, "outcome": outcome})
        self._reply_ids[question_id] = reply_id
        return reply_id

    def reply_id(self, question_id: str) -> str | None:
        """The id of our reply to the question, if there is one."""
        return self._reply_ids.get(question_id)

    def _append(self, line: dict[str, Any]) -> None:
        # One write of one line: a process that is killed leaves whole lines but for the last.
        with self._path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(json.dumps({"at_s": time.time(), **line}, ensure_ascii=False) + "\n")

    def _read(self) -> None:
        with self._path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    one = json.loads(line)
                except ValueError:
                    continue
                if isinstance(one, dict) and one.get("kind") == "replied":
                    self._reply_ids[str(one.get("question_id"))] = str(one.get("id"))
