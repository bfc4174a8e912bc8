"""What Fennel says in WeChat's direct messages and nowhere else, because WeChat alone gives the reason for it."""

from __future__ import annotations

SENTENCES: dict[str, dict[str, str]] = {
    "en": {
        "goes_on": "(The rest follows in a new message.)",
        "maybe": "(Perhaps for the second time: WeChat did not confirm the first.)",
        "write_first": "(WeChat takes nothing more from me until you write something.)",
    },
    "zh": {
        "goes_on": "（其余内容见下一条消息。）",
        "maybe": "（可能重复：微信未确认上一次发送。）",
        "write_first": "（在您发送新消息之前，微信不再接收我的消息。）",
    },
}
TEXT_ONLY = "我只能阅读文字，请用文字写出您的问题。\nI can only read text. Please write your question in words."
"""Before a person has written a word, their language is not known."""
NOTES_BYTES = 512
"""Room that is left in a message for the notes above."""


def sentence(language: str, key: str) -> str:
    """One sentence in the question's language."""
    return SENTENCES[language][key]
