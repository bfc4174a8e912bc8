"""Question–answer pairs whose values are not all text."""

from __future__ import annotations

from workers.knowledge.readers.question_answer import JsonlPairsReader


def test_a_list_of_chinese_steps_stays_chinese() -> None:
    """It is found by its own characters, not by their numbers."""
    line = '{"question": "怎么重启？", "answer": ["先停", "再启动"]}'
    (section,) = JsonlPairsReader().read(line.encode(), "faq.jsonl").sections
    assert section.blocks == ('["先停", "再启动"]',)
