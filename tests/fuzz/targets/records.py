"""The records that cross between bots and workers, and what stands in Redis in their form."""

from __future__ import annotations

from collections.abc import Sequence

from bot.feedback import Feedback
from contract.answer import Citation, FinalAnswer, Outcome, PartialAnswer
from contract.question import Question
from contract.turn import Turn
from contract.why import FoundPassage, Why
from contract.wire import WireError, WireRecord
from tests.fuzz.target import Reading, Target

QUESTION = Question(
    "q-1", "slack", "T1", "C1", "1.0", "1.0", "U1", "Ada", "how?", "en", 1700000000.5, 1700000001.0, {"team": "T1"}
)
FINAL = FinalAnswer(
    QUESTION.to_wire(),
    Outcome.ANSWERED,
    "so",
    (Citation("Leave", "leave.md", "25 days"),),
    versions={"model": "m"},
    mentions=("U2",),
)
KINDS: tuple[type[WireRecord], ...] = (Question, FinalAnswer, PartialAnswer, Turn, Why, Feedback)


class Records(Target):
    """Each input is read as a record of every kind."""

    def seeds(self) -> Sequence[bytes]:
        """One record of each kind."""
        passage = FoundPassage("Leave", "leave.md", 0.5, 0.4, 0.3, given=True)
        records: tuple[WireRecord, ...] = (
            QUESTION,
            FINAL,
            PartialAnswer("q-1", "so far"),
            Turn("q-1", "U1", "Ada", "how?", "so", 1700000000.0, 1, 12),
            Why(
                "q-1", 1.0, "answered", "answer", 0.9, 0.5, True, "mention", False, "model", "m", ("near",), (passage,)
            ),
            Feedback("q-1", "slack", "U1", "good", 1.0, "", FINAL.to_wire()),
        )
        return [record.to_wire().encode() for record in records]

    def read(self, data: bytes) -> bool:
        """Raises anything but WireError. What was read can be written, and is the same when read again."""
        took = False
        for kind in KINDS:
            with Reading(WireError) as reading:
                record = kind.from_wire(data)
            if reading.took:
                took = True
                again = kind.from_wire(record.to_wire())
                # NaN is the one value that is not itself.
                assert again == record or "nan" in repr(record), "a record changes on the way"
        return took
