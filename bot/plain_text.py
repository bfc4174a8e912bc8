"""Text from people, documents and the model, made harmless: what nobody sees is taken out of it."""

from __future__ import annotations

import re
import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}]")
# Cc: control characters. Cf: zero-width ones, marks that turn the direction, tags. Cs: lone surrogates.
_UNSEEN = frozenset({"Cc", "Cf", "Cs"})
_CHINESE_CHARACTER = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_LATIN_WORD = re.compile(r"[A-Za-z\u00c0-\u024f]+(?:['\u2019-][A-Za-z\u00c0-\u024f]+)*")


def clean(text: str) -> str:
    """The text without control characters and zero-width tricks; lone surrogates become U+FFFD, edges are stripped."""
    lines = _LINE_ENDS.sub("\n", text)
    if lines.isascii() and lines.isprintable():
        return lines.strip()
    return "".join(_seen(character) for character in lines).strip()


def language_of(text: str) -> str:
    """``zh`` where Chinese characters outnumber Latin words, else ``en``."""
    chinese = len(_CHINESE_CHARACTER.findall(text))
    if not chinese:
        return "en"
    return "zh" if chinese > len(_LATIN_WORD.findall(text)) else "en"


def _seen(character: str) -> str:
    if character in "\n\t":
        return character
    category = unicodedata.category(character)
    if category == "Cs":
        return REPLACEMENT
    return "" if category in _UNSEEN else character
