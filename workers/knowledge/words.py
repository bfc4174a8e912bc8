"""Words: what full-text search, the gate and the grounding count in a text, alike for English and Chinese.

Chinese has no spaces: a run of its characters counts as its overlapping pairs, which needs no dictionary.
An identifier (`X-Tide-Retry-After`, `ingest-03.internal`, `E14`) counts whole and in its parts.
"""

from __future__ import annotations

import math
import re
import unicodedata
from itertools import pairwise
from typing import Literal

Language = Literal["en", "zh"]

CJK = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u3007"
_CJK_CHARACTER = re.compile(f"[{CJK}]")
_FIRST_CJK = "\u3007"
_IDENTIFIER_TIMES = 2.0
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_TERM = re.compile(rf"[{CJK}]+|[^\W{CJK}]+(?:[-./:@#+'][^\W{CJK}]+)*")
_PART = re.compile(r"[^\W_]+")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")

_STOP_WORDS = """
a about after all also am an and any are as at be been before being between both but by can could did do does during
each every for from get got had has have he her his how i if in into is it its just let like long may me more most
much many my need no not of often on one or other our out over per please quickly shall she should so some soon such
tell than that the their them then there these they this those to too under until up us very want was we were what
when where which while who whom whose why will with would you your s t m re ve d ll
"""
# Longer ones first, so that a shorter one does not cut them.
_STOP_PHRASES = """
什么时候 有没有 能不能 可不可以 是不是 为什么 怎么办 怎么样 怎么 怎样 如何 什么 多少 多久 多长 多大 几个 几天 哪个 哪些
哪里 哪儿 哪 谁 是否 可以 能否 需要 应该 请问 我们 你们 他们 咱们 大家 我 你 这个 那个 一下 一个
"""

STOP_WORDS: frozenset[str] = frozenset(_STOP_WORDS.split())
"""English words that say nothing of what a text is about."""

STOP_CHARACTERS: frozenset[str] = frozenset(
    "的了吗呢吧啊呀哦嘛么是在有和与及或就都也还又很再把被给对从到向于以为而且但",
)
"""Chinese characters that carry grammar alone."""

STOP_PHRASES: tuple[str, ...] = tuple(_STOP_PHRASES.split())
"""Chinese words of asking."""

_STOP_TERMS = STOP_WORDS | {"doe", "thi"}  # as `stem` leaves them


def normalise(text: str) -> str:
    """The text in one form of writing: full-width letters and digits made plain, lower case, 1,000 as 1000."""
    return _THOUSANDS.sub("", unicodedata.normalize("NFKC", text)).casefold()


def terms(text: str) -> list[str]:
    """Every term of the text in order, repeated as often as it stands there."""
    found: list[str] = []
    for run in _TERM.findall(normalise(text)):
        if run[0] >= _FIRST_CJK and _CJK_CHARACTER.match(run):
            found.extend([run] if len(run) == 1 else map("".join, pairwise(run)))
            continue
        found.append(stem(run) if run[-1] == "s" else run)
        if run.isalnum():
            continue  # no parts
        parts = _PART.findall(run)
        if len(parts) > 1:
            found.extend(stem(part) for part in parts)
    return found


def content_terms(text: str) -> list[str]:
    """The terms that say what the text is about: without stop words, each once, in order."""
    plain = normalise(text)
    for phrase in STOP_PHRASES:
        plain = plain.replace(phrase, " ")
    kept: dict[str, None] = {}
    for term in terms(plain):
        if term in _STOP_TERMS or (term and all(character in STOP_CHARACTERS for character in term)):
            continue
        if len(term) == 2 and _CJK_CHARACTER.match(term) and (term[0] in STOP_CHARACTERS or term[1] in STOP_CHARACTERS):
            continue
        kept[term] = None
    return list(kept)


def is_identifier(term: str) -> bool:
    """Whether the term is a code or a name of a machine (e47, dw-118, ingest-03.internal), which means one thing."""
    return any(character.isdigit() for character in term) and any(character.isalpha() for character in term)


def rarity(word: str, count: int, size: int) -> float:
    """How much a word says that stands in `count` of `size` passages: BM25's inverse document frequency.

    An identifier counts twice.
    """
    times = _IDENTIFIER_TIMES if is_identifier(word) else 1.0
    return times * math.log1p((size - min(count, size) + 0.5) / (count + 0.5))


def stem(word: str) -> str:
    """An English plural made singular by three rules; anything else as it is."""
    if not word.endswith("s"):
        return word
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "'s")):
        return word[:-1]
    return word.removesuffix("'s")


def size_words(text: str) -> int:
    """The length of a text: words, and Chinese characters as one each."""
    return len(_CJK_CHARACTER.findall(text)) + len(_WORD.findall(_CJK_CHARACTER.sub(" ", text)))


def language_of(text: str) -> Language:
    """The language that most of the text is in; code and names are Latin in Chinese texts too."""
    chinese = 0 if text.isascii() else len(_CJK_CHARACTER.findall(text))
    return "zh" if chinese and chinese * 2 > len(_WORD.findall(_CJK_CHARACTER.sub(" ", text))) else "en"
