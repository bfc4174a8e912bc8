"""What crosses between bots and workers survives the way, and rubbish does not."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.answer import Citation, FinalAnswer, Outcome, PartialAnswer
from contract.question import MAX_QUESTION_CHARACTERS, Question, question_id
from contract.turn import Turn
from contract.wire import MAX_WIRE_BYTES, WIRE_VERSION, WireError, WireRecord

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
times_s = st.floats(0, 2e9)
questions = st.builds(
    Question,
    id=text,
    platform=st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True),
    tenant=text,
    channel=text,
    thread=text,
    message_id=text,
    asker=text,
    asker_name=text,
    text=text,
    language=st.sampled_from(["en", "zh"]),
    asked_at_s=times_s,
    accepted_at_s=times_s,
    address=st.dictionaries(text, text, max_size=3),
)
finals = st.builds(
    FinalAnswer,
    question=text,
    outcome=st.sampled_from(Outcome),
    text=text,
    citations=st.lists(st.builds(Citation, text, text, text), max_size=3).map(tuple),
    reason=text,
    queued_ms=st.integers(0, 10**9),
    first_text_ms=st.integers(0, 10**9),
    total_ms=st.integers(0, 10**9),
)
partials = st.builds(PartialAnswer, question_id=text, text=text)
turns = st.builds(Turn, question_id=text, asker=text, asker_name=text, question=text, answer=text, at_s=times_s)
records = st.one_of(questions, finals, partials, turns)
KINDS: list[type[WireRecord]] = [Question, FinalAnswer, PartialAnswer, Turn]


@given(records)
def test_a_record_survives_the_way(record: WireRecord) -> None:
    """Written and read again, a record is the same, whatever characters are in it."""
    assert type(record).from_wire(record.to_wire()) == record
    assert type(record).from_wire(record.to_wire().encode()) == record


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300)), st.sampled_from(KINDS))
def test_rubbish_is_a_wire_error(rubbish: bytes | str, kind: type[WireRecord]) -> None:
    """Bytes that are no record raise WireError and nothing else."""
    with pytest.raises(WireError):
        kind.from_wire(rubbish)


@pytest.mark.parametrize("wire", [None, "", b"", "rubbish", PartialAnswer("q", "").to_wire().replace('"v":1', '"v":9')])
def test_what_cannot_be_read_may_be_asked_for(wire: str | bytes | None) -> None:
    """Who can do without a record is given none where there is none, or one of a newer version."""
    assert PartialAnswer.if_readable(wire) is None
    assert PartialAnswer.if_readable(PartialAnswer("q", "").to_wire()) == PartialAnswer("q", "")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(string.printable, max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(records, st.data())
@settings(max_examples=300)
def test_a_record_with_a_wrong_field_is_read_or_refused(record: WireRecord, data: st.DataObject) -> None:
    """Whatever one of its fields becomes, a record is read or raises WireError; nothing else comes out."""
    body = json.loads(record.to_wire())
    field = data.draw(st.sampled_from(sorted(body)))
    body[field] = data.draw(json_values)
    try:
        type(record).from_wire(json.dumps(body))
    except WireError:
        return


@given(records, st.data())
def test_a_record_that_lacks_a_field_says_so(record: WireRecord, data: st.DataObject) -> None:
    """Without a field that has no default, a record is refused."""
    body = json.loads(record.to_wire())
    needed = {"question_id", "question", "outcome", "platform", "language", "asked_at_s", "at_s"} & set(body)
    del body[data.draw(st.sampled_from(sorted(needed)))]
    with pytest.raises(WireError):
        type(record).from_wire(json.dumps(body))


@pytest.mark.parametrize("version", [0, WIRE_VERSION + 1, -1, "1", None, True, 1.0])
def test_another_version_is_refused_with_its_number(version: object) -> None:
    """A version that this program does not read is named in the sentence."""
    wire = json.dumps({"v": version, "kind": "partial", "question_id": "q", "text": ""})
    with pytest.raises(WireError, match=f"wire version {version!r}"):
        PartialAnswer.from_wire(wire)


def test_another_kind_is_refused() -> None:
    """A turn is no partial answer, whatever fields they share."""
    with pytest.raises(WireError, match="kind 'turn'"):
        Turn.from_wire(PartialAnswer("q", "").to_wire())


def test_a_field_of_a_newer_version_is_ignored() -> None:
    """What a newer program added does not keep an older one from reading the rest."""
    body = json.loads(PartialAnswer("q", "so far").to_wire())
    assert PartialAnswer.from_wire(json.dumps({**body, "colour": "red"})) == PartialAnswer("q", "so far")


def test_a_huge_record_is_refused_before_it_is_parsed() -> None:
    """A record over the limit is refused by its size."""
    with pytest.raises(WireError, match="over the limit"):
        PartialAnswer.from_wire("[" * (MAX_WIRE_BYTES + 1))


def test_deep_nesting_is_refused() -> None:
    """Brackets without end raise WireError, not RecursionError."""
    with pytest.raises(WireError):
        PartialAnswer.from_wire("[" * 200_000)


def test_a_question_has_a_longest_text() -> None:
    """A text over the limit makes no question."""
    with pytest.raises(ValueError, match="more than"):
        Question("q", "test", "t", "c", "th", "m", "a", "A", "x" * (MAX_QUESTION_CHARACTERS + 1), "en", 0, 0)


@given(st.tuples(text, text, text, text), st.tuples(text, text, text, text))
def test_question_ids_are_the_same_for_the_same_message_and_differ_for_others(
    one: tuple[str, str, str, str], other: tuple[str, str, str, str]
) -> None:
    """The id tells messages apart, even where their parts joined are the same, and is one that RQ allows."""
    assert (question_id(*one) == question_id(*other)) == (one == other)
    assert question_id("a", "bc", "", "") != question_id("ab", "c", "", "")
    assert set(question_id(*one)) <= set(string.ascii_letters + string.digits + "-_")


def test_the_outcome_is_a_word_on_the_wire() -> None:
    """Whoever reads Redis by hand sees how a question ended."""
    assert '"outcome":"not_found"' in FinalAnswer("q", Outcome.NOT_FOUND).to_wire()


@pytest.mark.parametrize(
    ("record", "added"),
    [
        (Question("q", "chat", "t", "c", "h", "m", "a", "A", "x", "en", 1.0, 1.0), {"heard"}),
        (FinalAnswer("{}", Outcome.ANSWERED, "x"), {"versions", "mentions"}),
        (Turn("q", "a", "A", "x", "y", 1.0), {"place", "tokens"}),
    ],
)
def test_a_record_of_an_older_program_is_read(record: WireRecord, added: set[str]) -> None:
    """What was added to a record since has a default, so that workers and bots need not be restarted at once."""
    body = json.loads(record.to_wire())
    assert added <= set(body)
    older = {name: value for name, value in body.items() if name not in added}
    assert type(record).from_wire(json.dumps(older)) == record
