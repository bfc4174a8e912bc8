"""A follow-up: a question that cannot be understood without the thread, and what it means with it.

"How do I export data in version 1?" and then "And in version 2?" is the first question with the second's version. By
rule: what the follow-up names takes the place of what is like it in the question before; where nothing is like it, it
is added. Where the model is able to, it is asked for the whole question instead; what it says is only searched for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from contract.turn import Turn
from workers.engine.engine import ChatTurn
from workers.knowledge.words import CJK, Language, content_terms, is_identifier, size_words
from workers.prompt import fenced, unfenced

SHORT_WORDS = 5
"""A question of so few words may want the thread, where nothing is found for it alone."""
MAX_NEW_TOKENS = 60
_LEANS = re.compile(
    r"^\W*(?:and|but|so|then|also|or|what about|how about)\b|"
    r"\b(?:it|its|they|them|their|that|this|those|these|there)\b|"
    r"^\W*(?:那|那么|然后|还有|但是|如果)|[它他她]|这个|那个|这些|那些|这样|上面|前者|后者|呢\W*$",
    re.IGNORECASE,
)
# What only ties a follow-up to the thread.
_TIE = re.compile(
    r"^\W*(?:那么?|然后|还有|但是|如果是?|换成|要是)[\s，,]*|"
    r"^\W*(?:(?:and|but|so|then|also|or|ok(?:ay)?)\b[\s,]*)*(?:(?:what|how) about\b)?\s*"
    r"(?:the same (?:for|with|in)\b)?\s*",
    re.IGNORECASE,
)
_END = re.compile(r"[\s?？!！.。]*(?:呢|怎么样|怎样)?[\s?？!！.。]*$")
_COUNTED = re.compile(
    r"(?P<name>[A-Za-z]{2,}|版本|第|型号|周|星期|阶段|步骤|级别?)(?P<gap>[\s-]?)(?P<value>\d[\w.]*)", re.IGNORECASE
)
_CODE = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z0-9-]*\d)[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*(?![A-Za-z0-9])")
_KINDS = (
    re.compile(r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b|\bweekends?\b", re.IGNORECASE),
    re.compile(
        r"\b(?:january|february|march|april|may|june|july|august|september|october|november|december)\b", re.IGNORECASE
    ),
    re.compile(r"(?:周|星期|礼拜)[一二三四五六日天末]"),
    re.compile(r"[一二三四五六七八九十]+月"),
    re.compile(r"\b(?:windows|macos|mac|linux|android|ios|iphone)\b", re.IGNORECASE),
    re.compile(r"\b(?:19|20)\d\d\b"),
)
_PREPOSITIONS = r"in|on|at|for|from|to|with|without|during|after|before|by|of"
_PHRASE = re.compile(rf"^(?P<preposition>{_PREPOSITIONS})\s+(?P<what>.+)$", re.IGNORECASE)
_SYSTEM: dict[Language, str] = {
    "en": (
        "Rewrite the last question so that it can be understood without the conversation. "
        "Keep its language. Answer with the question alone."
    ),
    "zh": "把最后一个问题改写成不看对话也能懂的完整问题，语言不变，只写这个问题。",
}
_ASKED: dict[Language, tuple[str, str]] = {
    "en": ("Earlier questions:", "Last question: "),
    "zh": ("之前的问题：", "最后一个问题："),
}


@dataclass(frozen=True, slots=True)
class WholeQuestion:
    """A question that stands alone. `sure` where it replaced a part, not where it only added one."""

    text: str
    sure: bool


def leans(text: str) -> bool:
    """Whether the text points to what was said before it."""
    return bool(_LEANS.search(text))


def stand_alone(text: str, turns: Sequence[Turn]) -> WholeQuestion:
    """The question as it would have been asked without the thread, by rule; `turns` are the oldest first."""
    questions = [turn.question for turn in turns]
    # A follow-up of a follow-up: from the last question that stands by itself.
    start = max((at for at, one in enumerate(questions) if not leans(one)), default=0)
    whole = WholeQuestion(questions[start] if questions else "", sure=True)
    for one in [*questions[start + 1 :], text]:
        whole = _joined(whole.text, one)
    return whole


def rewriting_turns(text: str, language: Language, turns: Sequence[Turn]) -> tuple[ChatTurn, ...]:
    """What a model is asked for the whole question."""
    said = "\n".join(f"- {fenced(turn.question)}" for turn in turns)
    earlier, last = _ASKED[language]
    asked = f"{earlier}\n{said}\n{last}{fenced(text)}"
    return ChatTurn("system", _SYSTEM[language]), ChatTurn("user", asked)


def usable(rewritten: str, text: str, turns: Sequence[Turn]) -> str:
    """The model's question where it is one: a line, not long, that invents no code or number; else nothing."""
    plain = unfenced(rewritten).strip().strip("\"'“”").strip()
    known = "\n".join([text, *(turn.question for turn in turns)])
    if not plain or "\n" in plain or size_words(plain) > 2 * size_words(known):
        return ""
    there = set(content_terms(known))
    new = [term for term in content_terms(plain) if any(map(str.isdigit, term)) or is_identifier(term)]
    return plain if there.issuperset(new) and there.intersection(content_terms(plain)) else ""


def _joined(before: str, follow_up: str) -> WholeQuestion:
    """The question before, with what the follow-up names in place of what is like it, or added."""
    named = _END.sub("", _TIE.sub("", follow_up, count=1)).strip()
    if not named:
        return WholeQuestion(before, sure=True)
    for pattern in (_COUNTED, _CODE, *_KINDS):
        wanted, there = pattern.search(named), list(pattern.finditer(before))
        if wanted is None or not there:
            continue
        like = [one for one in there if _alike(wanted, one)] or (there if pattern is not _COUNTED else [])
        if like:
            return WholeQuestion(_put(before, like[-1], wanted.group(), named), sure=True)
    phrase = _PHRASE.match(named)
    if phrase:
        # The last phrase with the same preposition, up to the question's end.
        no_other = rf"(?:(?!\b(?:{_PREPOSITIONS})\b)[^?.,!])+"
        found = re.search(rf"\b{phrase['preposition']}\s+{no_other}(?=[\s?.!]*$)", before, re.IGNORECASE)
        if found:
            return WholeQuestion(before[: found.start()] + named + before[found.end() :], sure=True)
    gap = "" if re.match(f"[{CJK}]", named) and re.search(f"[{CJK}]\\W*$", before) else " "
    return WholeQuestion(f"{before}{gap}{named}", sure=False)


def _alike(one: re.Match[str], other: re.Match[str]) -> bool:
    if one.re is _COUNTED:
        return one["name"].casefold() == other["name"].casefold()
    return re.sub(r"\d", "0", one.group())[:1].casefold() == re.sub(r"\d", "0", other.group())[:1].casefold()


def _put(before: str, old: re.Match[str], new: str, named: str) -> str:
    """Replace the old; words of the follow-up that the question lacks are added behind it."""
    replaced = before[: old.start()] + new + before[old.end() :]
    known = set(content_terms(replaced))
    more = [term for term in content_terms(named) if term not in known]
    return replaced if not more else f"{replaced} {named}"
