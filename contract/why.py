"""Why a question was answered or not: what the gate saw and decided, kept for whoever asks later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from contract.wire import WireRecord, need


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A passage that the search found. `dense` is its nearness in meaning, `coverage` the share of the words it holds.

    `given`: whether the answer was made from it.
    """

    title: str
    source: str
    score: float
    dense: float
    coverage: float
    given: bool

    def __post_init__(self) -> None:
        need(self.title, str, "title")
        need(self.source, str, "source")
        need(self.given, bool, "given")
        for name in ("score", "dense", "coverage"):
            need(getattr(self, name), (int, float), name)


@dataclass(frozen=True, slots=True)
class Why(WireRecord):
    """What the gate decided about a question, and what came of it; no text of the chat.

    `verdict` is the gate's: answer, not_found, small_talk or not_question. The question is answered from `min_score`
    on; one that was only overheard needs `sure`. `written_by` says who wrote the answer: model, quote (the passage's
    own words, because the model could not or would not do), both, or nobody.
    """

    KIND: ClassVar[str] = "why"

    question_id: str
    decided_at_s: float
    outcome: str
    verdict: str
    score: float
    min_score: float
    sure: bool
    heard: str
    with_thread: bool
    written_by: str
    model: str
    reasons: tuple[str, ...] = ()
    passages: tuple[FoundPassage, ...] = ()

    def __post_init__(self) -> None:
        for name in ("question_id", "outcome", "verdict", "heard", "written_by", "model"):
            need(getattr(self, name), str, name)
        for name in ("decided_at_s", "score", "min_score"):
            need(getattr(self, name), (int, float), name)
        need(self.sure, bool, "sure")
        need(self.with_thread, bool, "with_thread")

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Self:
        """Build the record, with its passages, from its JSON members."""
        values = dict(body)
        values["reasons"] = tuple(str(one) for one in values.get("reasons", ()))
        names = FoundPassage.__dataclass_fields__
        values["passages"] = tuple(
            FoundPassage(**{name: value for name, value in one.items() if name in names})
            for one in values.get("passages", ())
        )
        # dataclass(slots=True) makes the class anew, so that a bare super() would look at the first one.
        return super(Why, cls).from_body(values)
