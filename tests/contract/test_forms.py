"""What the release before wrote into Redis is read, and what it writes today can be read by the one before."""

from __future__ import annotations

import itertools
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from contract import wire
from contract.answer import FinalAnswer, Outcome, PartialAnswer
from contract.question import Question
from contract.wire import NewerWireError, WireError
from tests.contract.forms import (
    FINAL,
    FOLDER,
    FORMS,
    NAMES_FILE,
    QUESTION,
    SETTINGS_FILE,
    WORDS_FILE,
    files_of,
    names_today,
    read,
    words_today,
)

READABLE = range(wire.OLDEST_READABLE_VERSION, wire.WIRE_VERSION + 1)
KEPT = [(kind, file) for version in READABLE for kind in FORMS for file in files_of(kind, version)]
CURE = "run `python -m tests.contract.forms` and add the new file; docs/upgrading.md says what may be changed"


def test_the_version_before_is_read() -> None:
    """Version N reads N-1, and at most one version more than it writes."""
    assert max(1, wire.WIRE_VERSION - 1) >= wire.OLDEST_READABLE_VERSION
    assert wire.NEWEST_READABLE_VERSION - wire.WIRE_VERSION in (0, 1)
    assert all((FOLDER / f"v{version}").is_dir() for version in READABLE)


@pytest.mark.parametrize(("kind", "file"), KEPT, ids=lambda one: one.name if isinstance(one, Path) else "")
def test_every_form_that_was_ever_written_is_read(kind: str, file: Path) -> None:
    """Read and written again, each of its members still says the same."""
    kept = read(file)

    again = FORMS[kind].rewrite(kept)

    assert {name: again.get(name) for name in kept if name != "v"} == {
        name: value for name, value in kept.items() if name != "v"
    }


@pytest.mark.parametrize("kind", FORMS)
def test_the_form_of_today_is_kept(kind: str) -> None:
    """Whoever changes a form keeps the new one too, so that the next release reads it."""
    newest = files_of(kind, wire.WIRE_VERSION)[-1]

    assert shape(FORMS[kind].write()) == shape(read(newest)), f"{kind} is written in another form than {newest}: {CURE}"


@pytest.mark.parametrize("kind", FORMS)
def test_within_a_version_a_form_only_grows(kind: str) -> None:
    """A program of the release before finds all that it needs in the form of today, with the type it expects."""
    forms = [read(file) for file in files_of(kind, wire.WIRE_VERSION)]
    for before, after in itertools.pairwise(forms):
        lost = {name for name, value in before.items() if type(after.get(name)) is not type(value)}
        assert not lost, f"{kind} lost {lost} without a new version of the wire: see docs/upgrading.md"


def shape(value: object) -> object:
    """The names and types in it."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items()}
    return [shape(one) for one in value] if isinstance(value, list) else type(value).__name__


def test_names_in_redis_stay() -> None:
    """A key under another name is one that the other release does not find."""
    assert names_today() == read(FOLDER / f"v{wire.WIRE_VERSION}" / NAMES_FILE), CURE


def test_words_stay_within_a_version() -> None:
    """An outcome that the other release does not know is an answer that it cannot show."""
    kept = read(FOLDER / f"v{wire.WIRE_VERSION}" / WORDS_FILE)
    assert words_today() == kept, "a word more or less needs a new version of the wire: see docs/upgrading.md"


@pytest.mark.parametrize("version", READABLE)
def test_settings_of_the_version_before_are_taken(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of settings that was right before the upgrade does not stop the programs after it."""
    from config.loading import load_settings

    kept = (FOLDER / f"v{version}" / SETTINGS_FILE).read_text(encoding="utf-8")
    (tmp_path / "fennel.toml").write_text(kept, encoding="utf-8")
    monkeypatch.setenv("FENNEL_HOME", str(tmp_path))

    load_settings()

    assert tomllib.loads(kept)


# --- from the future


def test_a_newer_version_is_told_from_rubbish() -> None:
    """What only a newer program reads is left for it; what nobody will ever read is not."""
    newer = json.dumps({"v": wire.NEWEST_READABLE_VERSION + 1, "kind": "partial", "shape": "unknown"})
    with pytest.raises(NewerWireError, match=r"wire version 2 is not read here \(this program reads 1 to 1\)"):
        PartialAnswer.from_wire(newer)
    for version in (0, -1, "2", 2.0, None, True):
        with pytest.raises(WireError) as raised:
            PartialAnswer.from_wire(json.dumps({"v": version, "kind": "partial"}))
        assert not isinstance(raised.value, NewerWireError)


def test_what_a_newer_program_added_goes_on_to_the_next() -> None:
    """A worker of the release before hands a question on with all that was in it, though it knows only a part."""
    asked = json.dumps({**json.loads(QUESTION.to_wire()), "mood": "cheerful", "parts": [{"deep": 1}]})

    answered = FinalAnswer.from_wire(replace(FINAL, question=Question.from_wire(asked).to_wire()).to_wire())

    assert json.loads(answered.question) == json.loads(asked)
    assert Question.from_wire(answered.question) == QUESTION


def test_what_a_newer_program_added_hides_nothing_of_ours() -> None:
    """A record that was read with a foreign member is written with its own version, kind and values."""
    foreign = json.dumps({**json.loads(FINAL.to_wire()), "mood": "cheerful"})

    again = json.loads(FinalAnswer.from_wire(foreign).to_wire())

    assert (again["v"], again["kind"], again["outcome"]) == (wire.WIRE_VERSION, "final", Outcome.ANSWERED)
