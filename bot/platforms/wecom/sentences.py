"""What Fennel says in WeCom and nowhere else, because WeCom alone gives the reason for it."""

from __future__ import annotations

SENTENCES: dict[str, dict[str, str]] = {
    "en": {
        "goes_on": "(The rest follows in a new message.)",
        "complete": "That was the whole answer.",
        "maybe": "(Perhaps for the second time: WeCom did not confirm the first.)",
        "waited": "(WeCom allows {per_min} messages a minute in one chat, so this had to wait.)",
        "cut": "(WeCom shows no more of it.)",
        "withdrawn": "My answer to “{question}” is withdrawn. WeCom does not let me take it out of the chat.",
        "text_only": "I can only read text. Please write your question in words.",
    },
    "zh": {
        "goes_on": "（其余内容见下一条消息。）",
        "complete": "回答到此完毕。",
        "maybe": "（可能重复：企业微信未确认上一次发送。）",
        "waited": "（企业微信限制同一会话每分钟 {per_min} 条消息，所以稍等了一会儿。）",
        "cut": "（企业微信无法显示更多内容。）",
        "withdrawn": "我对“{question}”的回答已撤回，但企业微信不允许我把它从会话中删除。",
        "text_only": "我只能阅读文字，请用文字写出您的问题。",
    },
}
TEXT_ONLY = f"{SENTENCES['zh']['text_only']}\n{SENTENCES['en']['text_only']}"
WELCOME = (
    "您好！请直接写下您的问题，我会根据团队的文档回答，并注明出处。\n"
    "Hello! Ask me something: I answer out of the team's documents and name the pages that I used."
)
"""Before a person has written a word, their language is not known."""
NOTES_BYTES = 512
"""Room that is left in a message for the notes above."""


def sentence(language: str, key: str, **values: int | str) -> str:
    """One sentence in the question's language, filled in."""
    return SENTENCES[language][key].format(**values)
