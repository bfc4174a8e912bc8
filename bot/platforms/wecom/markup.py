"""A reply's Markdown as WeCom takes it: at most 20,480 bytes a message."""

from __future__ import annotations

import re
from dataclasses import replace

from bot import rendering
from bot.platform import Reply
from bot.platforms.wecom.sentences import sentence
from contract.answer import Outcome

CONTENT_BYTES = 20_480
_PERSON = re.compile(r"[\w.@-]+")
_QUESTION_CHARACTERS = 60
# WeCom folds <think>…</think> away; an answer that mentions the tag would vanish with it.
_THINK = re.compile(r"<(?=\s*/?\s*think)", re.IGNORECASE)


def neutral(text: str) -> str:
    """The text without what WeCom would read as its own markup. Character by character, so that a text's beginning
    stays the beginning of the whole.
    """
    return _THINK.sub("＜", text)


def whole(reply: Reply) -> str:
    """The whole of an ended reply, with the people that it calls in WeCom's form.

    A finished stream can be neither changed nor deleted: that an answer is withdrawn comes in a message of its own,
    and says which one is meant.
    """
    if reply.outcome is Outcome.WITHDRAWN:
        question = " ".join(rendering.safe(reply.question.text).split())[:_QUESTION_CHARACTERS]
        return neutral(sentence(reply.question.language, "withdrawn", question=question))
    called = " ".join(f"<@{person}>" for person in reply.mentions if _PERSON.fullmatch(person))
    text = neutral(replace(reply, mentions=()).whole)
    return f"{called} {text}" if called else text
