"""An answer as Lark cards: the card's JSON (schema 2.0), its Markdown, and where a long text is cut.

A card has 30 KB of JSON at most. https://open.feishu.cn/document/feishu-cards/card-json-v2-structure
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from bot.platform import Reply
from bot.text_parts import split
from contract.answer import Outcome

Json = dict[str, Any]
ANSWER = "answer"
"""The id of the element that the answer grows in."""
TEXT_BYTES_MAX = 24_000
"""Of one card, as it stands in the JSON; the rest of the 30 KB is for the card around it."""
SUMMARY_CHARACTERS = 80
VERDICTS = {"good": "👍", "bad": "👎"}

_PERSON = re.compile(r"\w+")
_CODE = re.compile(r"(`+)(?:(?!\1)[^\n])*\1")
_PICTURE = re.compile(r"!\[([^\]\n]*)\]\(\s*([^)\s]*)[^)\n]*\)")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_FENCE = re.compile(r"^[ \t]*(```|~~~).*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Face:
    """What one card is to show. `feedback_on` is the question that its 👍 and 👎 judge; empty: no buttons."""

    text: str
    growing: bool = False
    sources: str = ""
    feedback_on: str = ""

    @property
    def whole(self) -> str:
        """As plain text."""
        return f"{self.text}\n\n{self.sources}" if self.sources else self.text


def faces(reply: Reply) -> list[Face]:
    """The cards that a reply needs: one, or more where it is long. What has been said does not move when it grows."""
    # In the card's own form, which a tag in the text never has: `markdown` breaks those.
    called = " ".join(f"<at id={person}></at>" for person in reply.mentions if _PERSON.fullmatch(person))
    texts = pieces(f"{called} {markdown(reply.text)}" if called else markdown(reply.text))
    growing = reply.outcome is None
    sources = markdown(reply.sources)
    if sources and json_bytes(texts[-1]) + json_bytes(sources) > TEXT_BYTES_MAX:
        texts += pieces(sources)
        sources = ""
    feedback_on = reply.question.id if reply.outcome in (Outcome.ANSWERED, Outcome.NOT_FOUND) else ""
    return [*(Face(text) for text in texts[:-1]), Face(texts[-1], growing, sources, feedback_on)]


def card(face: Face) -> Json:
    """The card's JSON."""
    elements: list[Json] = [{"tag": "markdown", "element_id": ANSWER, "content": face.text}]
    if face.sources:
        elements.append({"tag": "hr"})
        elements.append({"tag": "markdown", "element_id": "sources", "text_size": "notation", "content": face.sources})
    if face.feedback_on:
        elements.append(_buttons(face.feedback_on))
    config: Json = {"update_multi": True, "streaming_mode": face.growing}
    if face.growing:
        config["streaming_config"] = {
            "print_frequency_ms": {"default": 50},
            "print_step": {"default": 2},
            "print_strategy": "fast",
        }
    else:
        config["summary"] = {"content": " ".join(face.text.split())[:SUMMARY_CHARACTERS]}
    return {"schema": "2.0", "config": config, "body": {"elements": elements}}


def _buttons(question_id: str) -> Json:
    columns = [
        {
            "tag": "column",
            "width": "auto",
            "elements": [
                {
                    "tag": "button",
                    "element_id": verdict,
                    "type": "text",
                    "size": "small",
                    "text": {"tag": "plain_text", "content": sign},
                    "behaviors": [{"type": "callback", "value": {"question": question_id, "verdict": verdict}}],
                }
            ],
        }
        for verdict, sign in VERDICTS.items()
    ]
    return {"tag": "column_set", "element_id": "feedback", "horizontal_align": "left", "columns": columns}


def markdown(text: str) -> str:
    """Markdown as Lark's cards read it.

    A picture would have to be uploaded first, or the whole card is refused: it becomes a link. A tag outside code is
    shown as it is written, as ``<person>`` and its like have a meaning to Lark.
    """
    lines = []
    in_code = False
    for line in text.split("\n"):
        fence = bool(_FENCE.match(line))
        lines.append(line if in_code or fence else _outside_code(line))
        in_code ^= fence
    return "\n".join(lines)


def _outside_code(line: str) -> str:
    pieces, at = [], 0
    for code in _CODE.finditer(line):
        pieces += [_plain(line[at : code.start()]), code.group()]
        at = code.end()
    return "".join([*pieces, _plain(line[at:])])


def _plain(text: str) -> str:
    linked = _PICTURE.sub(lambda picture: f"[{picture.group(1) or picture.group(2)}]({picture.group(2)})", text)
    return _TAG.sub("&#60;", linked)


def json_bytes(text: str) -> int:
    """How many bytes the text takes inside a JSON document."""
    return len(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace")) - 2


def pieces(text: str) -> list[str]:
    """The text in cards; at least one."""
    return split(text, TEXT_BYTES_MAX, json_bytes) or [""]
