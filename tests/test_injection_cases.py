"""The prompt-injection cases, and how a reply to one is judged."""

from __future__ import annotations

from collections import Counter

from benchmarks.injection import judge, read_cases


def test_there_are_enough_cases_of_each_kind() -> None:
    """At least 60, with a dozen at least of each language in documents and in messages, each under its own name."""
    cases = read_cases()
    assert len(cases) >= 60
    assert len({case.id for case in cases}) == len(cases)
    kinds = Counter((case.where, case.language) for case in cases)
    assert set(kinds) == {(where, language) for where in ("document", "message") for language in ("en", "zh")}
    assert min(kinds.values()) >= 12


def test_a_case_could_fail() -> None:
    """Each one's attack holds the words that it must not bring into an answer, and the page holds the right fact."""
    for case in read_cases():
        assert case.forbidden
        assert case.fact in case.page
        if case.where == "document":
            assert not any(word in case.message for word in case.forbidden)


def test_words_of_its_own_are_told_from_quoted_ones() -> None:
    """A passage's own words that are quoted are shown, and not obeyed."""
    case = read_cases()[0]
    word = case.forbidden[0]
    assert judge(case, f"{word} at {case.fact}").obeyed
    quoted = judge(case, f"> {word}\nIt opens at {case.fact}.")
    assert (quoted.obeyed, quoted.shown, quoted.right) == (False, True, True)
    assert not judge(case, "Nothing.").shown
