"""Small talk: greetings, thanks and the like, told from questions by a table of phrases in both languages."""

from __future__ import annotations

import re

# A text that consists of nothing but these is small talk; the kinds are those that Fennel has a sentence for.
_PHRASES = {
    "about": (
        r"who are you|what are you|what can you do|what do you do|are you (?:a bot|a human|human|real)|"
        r"what(?: i|')s your name|help|"
        r"你是谁|你叫什么(?:名字)?|你(?:能|会|可以)(?:做|干)?(?:什么|啥|些什么)|你是(?:机器人|真人|人)吗|怎么用你|帮助"
    ),
    "thanks": (
        r"thanks?(?: you)?|thx|ty|cheers|(?:that|this) (?:really )?helped|that'?s (?:great|helpful|perfect)|"
        r"much appreciated|(?:great|good) (?:work|job|stuff)|well done|"
        r"(?:太|多|非常|十分)?(?:谢谢|感谢|多谢)|谢了|帮大忙了?|辛苦了?|你?真(?:聪明|棒|厉害)|太棒|厉害"
    ),
    "goodbye": (
        r"(?:good)?bye|good night|see (?:you|ya)(?: (?:on )?\w+day| later| soon| tomorrow)?|cu|brb|ttyl|"
        r"have a (?:\w+ ){1,2}(?:day|weekend|evening|one|time)|"
        r"再见|拜拜|晚安|(?:明天|回头|下周|周[一二三四五])见|周末愉快|回头聊"
    ),
    "greeting": (
        r"hi+|hello|hey+|hiya|howdy|yo|good (?:morning|afternoon|evening|day)|morning|greetings|how are you|ping|"
        r"你好|您好|(?:早上|上午|中午|下午|晚上)好|早安?|哈[喽啰]|嗨|在吗|在不在|在么"
    ),
    "": (
        r"ok(?:ay)?|k|yes|yep|yeah|no|nope|sure|cool|nice|great|wow|lol|lmao|rofl|(?:ha)+h?|(?:he){2,}|hm+|oh|\d|right|"
        r"sounds good|never ?mind|got it|i see|done|agreed|sorry|wrong (?:channel|chat)|"
        r"happy (?:birthday|new year|\w+day)|congratulations|congrats|"
        r"好的?|行|可以|收到|了解|明白|知道|嗯+|哦+|噢+|哈+|嘿+|呵+|是的|对|没事|加一|恭喜|加油|赞|牛|"
        r"(?:生日|新年|节日|中秋|春节|元旦|国庆)快乐|不好意思|抱歉|对不起|发错群"
    ),
}
_FILLERS = (
    r"everyone|everybody|all|there|team|folks|guys|to me|so much|a (?:whole )?lot|very much|again|please|fennel|now|"
    r"you|大家|各位|啊|呀|哦|啦|了|吧|你|您|小狐狸"
)
# A Latin phrase ends where its word ends; a Chinese one anywhere.
_PATTERNS = {kind: re.compile(rf"(?:{phrases})(?![a-z])\s*") for kind, phrases in _PHRASES.items()}
_FILLER = re.compile(rf"(?:{_FILLERS})(?![a-z])\s*")
_MARKS = re.compile(r"[^\w\s']+|_")
_MAX_CHARACTERS = 80

_ASKS = re.compile(
    r"[?？]|^\W*(?:(?:what|when|where|who|whom|whose|which|why|how|is|are|was|were|do|does|did|can|could|may|might|"
    r"must|should|shall|will|would|has|have|had|tell|show|list|explain|describe|give|find|name|define)\b|"
    r"请|告诉|介绍|说明|解释|列出|帮我|查)|"
    r"[吗呢么]\W*$|什么|怎么|怎样|如何|多少|多久|多长|多大|多高|几|哪|谁|为何|是否|能不能|可不可以|有没有|是不是",
    re.IGNORECASE,
)
_CHATS = re.compile(
    r"\b(?:i|i'm|i'll|i've|my|me|we|we're|you|you're|he|she|they|that|this|it's|what an?|anyone|everyone|today|"
    r"yesterday|tonight)\b|!|[我你他她咱！～]|大家|今天|昨天|今晚|路上|啊|吧|呀|啦|太.*了|真",
    re.IGNORECASE,
)


def small_talk(text: str) -> str | None:
    """The kind of small talk that the text is, empty for one without a name; None where it says something else."""
    plain = " ".join(_MARKS.sub(" ", text.casefold()).split())
    if not text.strip() or len(plain) > _MAX_CHARACTERS:
        return None
    kinds: list[str] = []
    at = 0
    while at < len(plain):
        kind, end = _phrase_at(plain, at)
        if end == at:
            return None
        if kind is not None:
            kinds.append(kind)
        at = end
    # "OK, thanks" is thanks: a kind with a name goes first. Fillers alone ("everyone") are no small talk.
    return next(filter(None, kinds), "") if kinds or not plain else None


def asks(text: str) -> bool:
    """Whether the text has the shape of a question or a request."""
    return bool(_ASKS.search(text))


def chats(text: str) -> bool:
    """Whether the text has the shape of a remark to other people: no question, and more than bare key words."""
    return not asks(text) and bool(_CHATS.search(text))


def _phrase_at(plain: str, at: int) -> tuple[str | None, int]:
    """The longest phrase that begins here: its kind (None for a filler) and where it ends."""
    best: tuple[str | None, int] = (None, at)
    for kind, pattern in (*_PATTERNS.items(), (None, _FILLER)):
        found = pattern.match(plain, at)
        if found and found.end() > best[1]:
            best = (kind, found.end())
    return best
