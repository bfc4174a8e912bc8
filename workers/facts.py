"""Facts: the numbers, names and quoted words of a text, in a form that can be looked for in another text.

What a person reads as the same is the same: 1,000 and 1000, four and 4, 三 and 3, 09:30 and 9:30, E14 and e14.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from workers.knowledge.words import CJK, STOP_WORDS, normalise, stem, terms

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_ENGLISH = {word: number for number, word in enumerate([*_ONES.split(), "eighteen", "nineteen"])}
_TENS_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: 10 * at for at, word in enumerate(_TENS_WORDS.split(), 2)}
_ENGLISH_NUMBER = re.compile(
    rf"\b(?:(?P<tens>{'|'.join(_TENS)})(?:[-\s](?P<unit>{'|'.join(list(_ENGLISH)[1:10])}))?|(?P<one>{'|'.join(_ENGLISH)}))\b"
)
_CHINESE_DIGITS = {"零": 0, "〇": 0, "两": 2} | {digit: at for at, digit in enumerate("一二三四五六七八九", 1)}
_CHINESE_SCALES = {"十": 10, "百": 100, "千": 1000, "万": 10_000, "亿": 100_000_000}
_CHINESE_NUMBER = re.compile(f"[{''.join(_CHINESE_DIGITS)}{''.join(_CHINESE_SCALES)}]+")
# What follows a Chinese numeral that counts something; 一般 and 万一 count nothing.
_MEASURE = "个天年月周日次小分秒元台人份级成倍点号楼层块条张页件位岁季度米克斤公里%％折"
_NUMBER = re.compile(r"(?<![\w.])v?(\d+(?:[.:/-]\d+)*)")
_ANY_DIGITS = re.compile(r"\d+(?:[.:/-]\d+)*")
_WEEKDAY = re.compile(r"(?:周|星期|礼拜)([一二三四五六日天])")
_IDENTIFIER = re.compile(
    rf"(?<![\w{CJK}])(?=[\w./:@#-]*[A-Za-z])(?:"
    r"[A-Za-z]*\d[A-Za-z0-9]*"  # E14
    r"|[A-Z]{2,}[A-Z0-9]*s?"  # VPN
    r"|[a-z]+[A-Z][A-Za-z]*"  # camelCase
    r"|[#@]?[A-Za-z0-9_]+(?:[-_./:@#][A-Za-z0-9_]+)*[_./:@#][A-Za-z0-9_]+"  # host.name, mail@address, snake_case
    r"|[#@][A-Za-z][\w-]+"  # #channel
    r")(?![A-Za-z0-9_])",
    re.ASCII,
)
# The whole word: PyTorch is one name, and no "Torch" behind a "Py".
_CAPITALISED = re.compile(r"(?<![A-Za-z0-9])[A-Z][A-Za-z]*[a-z][A-Za-z]*(?:'s)?")
_SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+|\n\s*(?:[-*]\s+|\d+[.)]\s+)?|[\"“(])$")
_QUOTED = re.compile(r"“([^”]{2,80})”|\"([^\"]{2,80})\"|`([^`]{1,80})`|「([^」]{2,80})」|《([^》]{2,80})》")
_LONG_NAME = 5  # a shorter one stands inside other words by accident
_BARE_NAME_WORDS = 2
_COUNTED_ONE = re.compile(r"\bone\s+(?:\w+\s+)?(?:second|minute|hour|day|week|month|year|person|time|percent)s?\b")


@dataclass(frozen=True, slots=True)
class Facts:
    """What an answer claims: numbers and names in their plain form, and words that it quotes."""

    numbers: frozenset[str]
    names: frozenset[str]
    quoted: frozenset[str]

    def __bool__(self) -> bool:
        return bool(self.numbers or self.names or self.quoted)


def facts_of(text: str) -> Facts:
    """The facts that a text claims. A word that may be mere grammar ("one", a sentence's first) is none."""
    quoted = frozenset(_squeezed("".join(found)) for found in _QUOTED.findall(text))
    plain = normalise(text)
    numbers = {*_numerals(plain), *_english_numbers(plain, counted=True), *_chinese_numbers(plain, counted=True)}
    return Facts(frozenset(numbers), frozenset(_names(text)), quoted - {""})


class FactSource:
    """A text that facts are looked for in."""

    def __init__(self, text: str) -> None:
        plain = normalise(text)
        self.terms = frozenset(terms(text))
        self._squeezed = _squeezed(text)
        self._numbers = (
            {_plain_number(found) for found in _ANY_DIGITS.findall(plain)}
            | {part for found in _ANY_DIGITS.findall(plain) for part in _parts(found)}
            | set(_english_numbers(plain, counted=False))
            | set(_chinese_numbers(plain, counted=False))
        )
        self._weekdays = set(_WEEKDAY.findall(plain))

    def missing(self, facts: Facts) -> list[str]:
        """The facts that do not stand here."""
        return [
            *sorted(facts.numbers - self._numbers),
            *sorted(name for name in facts.names if not self._has_name(name)),
            *sorted(quote for quote in facts.quoted if quote not in self._squeezed),
        ]

    def _has_name(self, name: str) -> bool:
        if name in self._weekdays:
            return True
        if name in self.terms or stem(name) in self.terms:
            return True
        return len(name) >= _LONG_NAME and _squeezed(name) in self._squeezed


def _names(text: str) -> set[str]:
    found = {normalise(match.group()) for match in _IDENTIFIER.finditer(text)}
    few = len(text.split()) <= _BARE_NAME_WORDS
    for match in _CAPITALISED.finditer(text):
        word = match.group().removesuffix("'s")
        # At a sentence's beginning every word is capitalised; but "Steve." is a name, and no sentence.
        if word.casefold() not in STOP_WORDS and (few or not _SENTENCE_START.search(text[: match.start()])):
            found.add(word.casefold())
    return found | set(_WEEKDAY.findall(text))


def _numerals(plain: str) -> list[str]:
    return [_plain_number(found) for found in _NUMBER.findall(plain)]


def _plain_number(number: str) -> str:
    """Without the zeros that change nothing: 09:30 is 9:30, 2.50 is 2.5."""
    parts = [part.lstrip("0") or "0" for part in re.split(r"([.:/-])", number)]
    if parts[1:2] == ["."] and len(parts) == 3:
        decimals = number.split(".")[1].rstrip("0")
        return f"{parts[0]}.{decimals}" if decimals else parts[0]
    return "".join(parts)


def _parts(number: str) -> list[str]:
    """The numbers in a compound that may be said alone: 10:00 as 10, 2-3 as 2 and 3."""
    if ":" in number:
        hour, _, rest = number.partition(":")
        return [hour.lstrip("0") or "0"] if set(rest) <= {"0", ":"} else []
    return [part.lstrip("0") or "0" for part in number.split("-")] if "-" in number else []


def _english_numbers(plain: str, *, counted: bool) -> list[str]:
    found = []
    for match in _ENGLISH_NUMBER.finditer(plain):
        if match["tens"]:
            found.append(str(_TENS[match["tens"]] + (_ENGLISH[match["unit"]] if match["unit"] else 0)))
        elif match["one"] != "one" or not counted or _COUNTED_ONE.match(plain, match.start()):
            found.append(str(_ENGLISH[match["one"]]))
    return found


def _chinese_numbers(plain: str, *, counted: bool) -> list[str]:
    found = []
    for match in _CHINESE_NUMBER.finditer(plain):
        before, after = plain[match.start() - 1 : match.start()], plain[match.end() : match.end() + 1]
        if before in ("周", "期", "拜") or (counted and not (after and after in _MEASURE)):
            continue
        found.append(str(_chinese_value(match.group())))
    return found


def _chinese_value(numeral: str) -> int:
    if not any(character in _CHINESE_SCALES for character in numeral):
        return int("".join(str(_CHINESE_DIGITS[character]) for character in numeral))
    whole = section = digit = 0
    for character in numeral:
        if character in _CHINESE_DIGITS:
            digit = _CHINESE_DIGITS[character]
            continue
        scale = _CHINESE_SCALES[character]
        if scale >= 10_000:
            whole = (whole + section + digit) * scale or scale
            section = 0
        else:
            section += (digit or 1) * scale
        digit = 0
    return whole + section + digit


def _squeezed(text: str) -> str:
    return re.sub(r"[\s`*_]+", "", normalise(text))
