"""Passages and sentences: where a document is cut, and where never."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.knowledge.document import Document, Section
from workers.knowledge.passage import split
from workers.knowledge.readers.markdown import markdown_sections
from workers.knowledge.sentence import sentences, split_prose
from workers.knowledge.words import size_words


def cut(markdown: str, limit: int) -> list[str]:
    _, sections = markdown_sections(markdown)
    return [passage.text for passage in split(Document("a.md", "A", "en", sections), limit)]


def test_chinese_sentences_stay_whole() -> None:
    """A Chinese paragraph is cut after 。！？ alone, and closing quotes stay with their sentence."""
    text = "潮位站在海边。他说：“明天涨潮！”我们几点出发？早上六点。"
    passages = cut(text, 10)
    assert passages == ["潮位站在海边。", "他说：“明天涨潮！”", "我们几点出发？早上六点。"]


def test_english_sentences_stay_whole() -> None:
    """A full stop inside a number, a host name or an abbreviation ends nothing."""
    text = "The host is db-1.internal, e.g. for tests. It holds 0.5 % of 10.40.0.0/16. Ask Dr. Lee."
    assert split_prose(text) == [
        "The host is db-1.internal, e.g. for tests.",
        "It holds 0.5 % of 10.40.0.0/16.",
        "Ask Dr. Lee.",
    ]


def test_a_passage_never_goes_across_a_heading() -> None:
    """Two short sections are two passages, each with its own heading."""
    _, sections = markdown_sections("# T\n\n## A\n\nOne.\n\n## B\n\nTwo.\n")
    found = list(split(Document("a.md", "T", "en", sections), 100))
    assert [(passage.label, passage.text) for passage in found] == [("T › A", "One."), ("T › B", "Two.")]


def test_a_table_stays_whole_up_to_twice_the_size_and_else_repeats_its_head() -> None:
    """No row is ever without the names of its columns."""
    rows = "".join(f"| k{number} | v{number} |\n" for number in range(8))
    table = f"| Key | Value |\n|---|---|\n{rows}"
    assert len(cut(table, 10)) == 1
    parts = cut(table, 6)
    assert len(parts) == 4
    assert all(part.startswith("| Key | Value |\n| --- | --- |\n") for part in parts)
    assert [line for part in parts for line in part.split("\n")[2:]] == [f"| k{n} | v{n} |" for n in range(8)]


def test_code_that_is_too_long_is_cut_between_lines() -> None:
    """Each part of a code block is a code block."""
    parts = cut("```py\n" + "one two three\n" * 9 + "```\n", 6)
    assert len(parts) > 1
    assert all(part.startswith("```py\n") and part.endswith("\n```") for part in parts)


@given(st.lists(st.text(alphabet="潮水站abc。！？，. ", max_size=60), max_size=6), st.integers(5, 30))
def test_no_passage_is_longer_than_the_limit_and_nothing_is_lost(blocks: list[str], limit: int) -> None:
    """Whatever the text, its passages hold all of it and none has more words than allowed."""
    blocks = [" ".join(block.split()) for block in blocks if block.strip()]
    document = Document("a.txt", "A", "en", (Section((), tuple(blocks)),))
    passages = [passage.text for passage in split(document, limit)]
    assert all(size_words(text) <= limit for text in passages)
    assert "".join("".join(passages).split()) == "".join("".join(blocks).split())


def test_rows_read_alone() -> None:
    """A table's row is quoted with the names of its columns, in the marks of its language."""
    english = sentences("| Plan | A day | A minute |\n| --- | --- | --- |\n| Coast | 500,000 | 1,200 |")
    assert [one.text for one in english] == ["Coast: A day 500,000, A minute 1,200"]
    assert english[0].verbatim == "| Coast | 500,000 | 1,200 |"
    chinese = sentences("| 地方 | 上限 |\n| --- | --- |\n| 英国 | 120 英镑 |")
    assert [one.text for one in chinese] == ["英国：上限 120 英镑"]


def test_code_is_said_with_the_sentence_before_it() -> None:
    """A command comes with what it is for; list marks are no part of a sentence."""
    found = sentences("Renew the key in time. Run:\n\n```\nsaltvpn renew\n```\n\n- one thing\n2. another")
    assert [one.text for one in found] == ["Renew the key in time.", "Run:\nsaltvpn renew", "one thing", "another"]


def test_a_row_that_is_longer_than_a_passage_tells_the_names_of_its_columns() -> None:
    """Of a wide or wordy table each value stays with its column's name, and no passage is too long."""
    wordy = "| Key | Value |\n|---|---|\n| k1 | short |\n| k2 | " + "One two three. " * 8 + "|\n"
    parts = cut(wordy, 10)
    assert parts[0] == "| Key | Value |\n| --- | --- |\n| k1 | short |\n\nKey: k2\nValue: One two three."
    assert all(size_words(part) <= 10 for part in parts)
    wide = f"| {' | '.join(f'name{n}' for n in range(20))} |\n|{'---|' * 20}\n| {' | '.join(map(str, range(20)))} |\n"
    parts = cut(wide, 10)
    assert parts[0].startswith("name0: 0")
    assert all(size_words(part) <= 10 for part in parts)


def test_what_is_no_writing_is_cut_all_the_same() -> None:
    """Text without a space, in prose, code or a table, makes many passages of bounded length, in a moment."""
    rubbish = "x" * 200_000
    for block in (rubbish, f"```\n{rubbish}\n```\n", f"| A |\n|---|\n| {rubbish} |\n", "A. " * 60_000):
        parts = cut(block, 100)
        assert max(map(len, parts)) <= 2 * 100 * 16
        assert sum(map(len, parts)) >= 100_000


def test_sizes_are_counted_by_the_embedder() -> None:
    """The limit holds in whatever tokens the embedder counts."""
    document = Document("a.txt", "A", "en", (Section((), ("One two. Three four. Five six.",)),))
    found = [passage.text for passage in split(document, 18, len)]
    assert found == ["One two.", "Three four.", "Five six."]
