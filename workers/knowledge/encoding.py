"""The text in a file's bytes: UTF-8, UTF-16 with its mark, or GB 18030 where it reads as Chinese."""

from __future__ import annotations

import re

from workers.knowledge.document import DocumentError

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff]")
_CHINESE_MARKS = "，。、；：？！“”‘’（）《》—…￥·\u3000"
_COMMON_CHINESE = "的一是不了在有和人这中大为上个到时用"


def decode(content: bytes) -> str:
    """The text, its lines ending in a newline and without control characters; raises DocumentError for other bytes."""
    if not content.strip():
        raise DocumentError("is empty")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return plain(_decoded(content, "utf-16"))
    if b"\x00" in content:
        raise DocumentError("is binary, not text")
    try:
        return plain(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        text = _decoded(content, "gb18030")
    # Nearly any bytes are GB 18030 by accident (Latin-1 too), so it has to look like written Chinese.
    beyond_ascii = [character for character in text if ord(character) > 127]
    usual = sum("\u4e00" <= character <= "\u9fff" or character in _CHINESE_MARKS for character in beyond_ascii)
    if usual < 0.95 * len(beyond_ascii) or not _has_common_chinese(text):
        raise DocumentError("is neither UTF-8 nor GB 18030 text")
    return plain(text)


def plain(text: str) -> str:
    """The text with newlines of one kind and without control characters; raises DocumentError where none is left."""
    text = _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if not text.strip():
        raise DocumentError("has no text")
    return text


def _has_common_chinese(text: str) -> bool:
    # Latin-1 text read as GB 18030 gives rare characters; real Chinese has one of these in every few sentences.
    common = sum(text.count(character) for character in _COMMON_CHINESE)
    chinese = sum("\u4e00" <= character <= "\u9fff" for character in text)
    return common * 50 >= chinese > 0


def _decoded(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DocumentError("is neither UTF-8 nor GB 18030 text") from error
