"""A command: words of a chat that are meant for the bot itself and ask nothing of the documents.

A message is a command when it is one of these words and nothing else. Each language's words are understood in every
chat; `bot/phrases/` holds them.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from bot.phrases import LANGUAGES, phrases_of

FOR_EVERYBODY = ("help", "status", "sources", "why", "forget", "stop", "withdraw", "human", "good", "bad")
FOR_ADMINS = ("pause", "resume", "limit", "kb")
SPEAKING = frozenset({"help", "status", "sources", "why"})
"""Commands that cost a question, so that nobody makes the bot flood a group with them."""
_ARGUMENTS = {
    "limit": re.compile(r"(?:(?:person|group|个人|本群)\s+)?\d{1,6}|off|默认"),
    "kb": re.compile(r"[\w-]{1,64}"),
}
_BEFORE, _AFTER = re.compile(r"^[/!！]\s*"), re.compile(r"[\s.。!！]+$")
_QUOTED = re.compile(r"^>.*$", re.MULTILINE)
_VARIATION = "\N{VARIATION SELECTOR-16}"
_SKIN = re.compile("[\U0001f3fb-\U0001f3ff]")


@dataclass(frozen=True, slots=True)
class Command:
    """What somebody wants of the bot, and what they added to it."""

    name: str
    argument: str = ""

    @property
    def is_for_admins(self) -> bool:
        """Whether only admins may use it. Everybody may look at the limit and the knowledge base."""
        return self.name in FOR_ADMINS and not (self.name in ("limit", "kb") and not self.argument)


def command_of(text: str) -> Command | None:
    """The command that the text is, or None for anything else."""
    own = own_words(text)
    plain = _AFTER.sub("", _BEFORE.sub("", _SKIN.sub("", own.replace(_VARIATION, "")))).casefold()
    whole = " ".join(plain.split())
    if whole in _words():
        return Command(_words()[whole])
    head, _, rest = whole.partition(" ")
    name = _words().get(head)
    if name in ("good", "bad") and head in _signs():
        # What stands behind is kept as it was written.
        return Command(name, own.partition(" ")[2].strip())
    if name in ("limit", "kb") and _ARGUMENTS[name].fullmatch(rest):
        return Command(name, rest if name == "limit" else own.split()[1])
    return None


def own_words(text: str) -> str:
    """The text without what it quotes: some platforms put what is answered before or behind the words."""
    return _QUOTED.sub("", text).strip()


@functools.cache
def _words() -> dict[str, str]:
    """The name of the command by each of its words; a phrase may list several, with bars between."""
    return {
        word.strip(): name
        for language in LANGUAGES
        for name in (*FOR_EVERYBODY, *FOR_ADMINS)
        for word in phrases_of(language)[f"command_{name}"].split("|")
    }


@functools.cache
def _signs() -> frozenset[str]:
    """The words of a verdict that a reason may follow: the signs, not "good", which begins many a sentence."""
    return frozenset(word for word, name in _words().items() if name in ("good", "bad") and not word.isascii())
