"""The sample handbook and the question sets that measure retrieval on it."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
HANDBOOK = ROOT / "examples" / "handbook"
QUESTION_SETS = ROOT / "tests" / "data" / "retrieval"
LANGUAGES = ("en", "zh")

FENCED_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HAN_CHARACTER = re.compile(r"[\u4e00-\u9fff]")


def read_pages() -> dict[str, str]:
    """Return the text of each page under its path in the handbook, such as `en/vpn.md`."""
    return {
        path.relative_to(HANDBOOK).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(HANDBOOK.rglob("*.md"))
    }


def read_lines(name: str) -> list[dict[str, str]]:
    """Return the records of one question set; every line of its file is a JSON object."""
    text = (QUESTION_SETS / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def headings(page: str, level: int) -> list[str]:
    """Return the headings of one level; a `#` inside a code block is no heading."""
    return re.findall(rf"^#{{{level}}} (.+)$", FENCED_CODE.sub("", page), re.MULTILINE)


def count_by_language(records: list[dict[str, str]]) -> dict[str, int]:
    """Return how many records each language has."""
    return {language: sum(record["language"] == language for record in records) for language in LANGUAGES}


def test_handbook_has_pages_in_both_languages() -> None:
    """The handbook has at least 14 pages in each language, and no page outside the two folders."""
    folders = [source.split("/")[0] for source in read_pages()]
    assert set(folders) == set(LANGUAGES)
    assert all(folders.count(language) >= 14 for language in LANGUAGES)


def test_page_is_written_in_the_language_of_its_folder() -> None:
    """Chinese pages hold at least 400 Chinese characters, English pages none."""
    for source, page in read_pages().items():
        han_characters = len(HAN_CHARACTER.findall(page))
        assert han_characters >= 400 if source.startswith("zh/") else han_characters == 0, source


def test_page_has_one_title_and_several_sections() -> None:
    """Each page starts with its only first-level heading and has at least three more headings."""
    for source, page in read_pages().items():
        assert page.startswith("# "), source
        assert len(headings(page, 1)) == 1, source
        assert len(headings(page, 2) + headings(page, 3)) >= 3, source


def test_titles_are_unique() -> None:
    """No two pages have the same title, so that a citation names one page."""
    titles = [headings(page, 1)[0] for page in read_pages().values()]
    assert len(set(titles)) == len(titles)


def test_answers_stand_in_their_pages() -> None:
    """Each expected answer occurs literally in the page that the question names as its source."""
    pages = read_pages()
    missing = [
        record["question"] for record in read_lines("handbook.jsonl") if record["answer"] not in pages[record["source"]]
    ]
    assert missing == []


def test_answers_are_not_blank() -> None:
    """No expected answer is empty or padded, since an empty string occurs in every page."""
    answers = [record["answer"] for record in read_lines("handbook.jsonl")]
    assert [answer for answer in answers if not answer or answer != answer.strip()] == []


def test_every_page_is_asked_about() -> None:
    """Each page has at least three questions, so that no page can get lost unnoticed."""
    sources = [record["source"] for record in read_lines("handbook.jsonl")]
    assert [page for page in read_pages() if sources.count(page) < 3] == []


def test_cross_questions_are_those_in_the_other_language() -> None:
    """A question has the kind `cross` exactly when its language is not that of its page."""
    questions = read_lines("handbook.jsonl")
    assert {record["kind"] for record in questions} == {"paraphrase", "keyword", "identifier", "cross"}
    for record in questions:
        other_language = record["language"] != record["source"].split("/")[0]
        assert (record["kind"] == "cross") == other_language, record["question"]
    assert sum(record["kind"] == "cross" for record in questions) >= 20


def test_question_sets_are_large_and_balanced() -> None:
    """Both languages have 60 answerable questions, 20 unanswerable ones and 20 lines of small talk, or more."""
    for name, minimum in (("handbook.jsonl", 60), ("unanswerable.jsonl", 20), ("smalltalk.jsonl", 20)):
        records = read_lines(name)
        counts = count_by_language(records)
        assert sum(counts.values()) == len(records), name
        assert min(counts.values()) >= minimum, name


def test_texts_are_unique() -> None:
    """No question and no line of small talk occurs twice, within a set or across the three sets."""
    texts = [record["question"] for name in ("handbook.jsonl", "unanswerable.jsonl") for record in read_lines(name)]
    texts += [record["text"] for record in read_lines("smalltalk.jsonl")]
    normalised = [text.casefold().strip() for text in texts]
    assert sorted({text for text in normalised if normalised.count(text) > 1}) == []
