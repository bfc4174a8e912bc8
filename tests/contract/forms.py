"""``python -m tests.contract.forms``: keep today's forms of all that stands in Redis in ``tests/data/wire/``.

A file is never changed: what is written differently today gets a further one, ``question-3.json`` after
``question-2.json``. Names and words are only added to; one that was renamed or taken away is refused.
"""

from __future__ import annotations

import inspect
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from bot import feedback, job_fields, lock, overhearing, send_state
from bot.answer_records import read_record
from bot.chat_message import ChatMessage
from bot.platforms.web.posts import Post
from bot.platforms.wecom import records as wecom
from bot.platforms.weixin import records as weixin
from config.environment import CHECKOUT
from config.settings import DEFAULTS_FILE
from contract import names
from contract.answer import Citation, FinalAnswer, Outcome, PartialAnswer
from contract.question import Question
from contract.turn import Turn
from contract.why import FoundPassage, Why
from contract.wire import WIRE_VERSION

FOLDER = CHECKOUT / "tests" / "data" / "wire"
NAMES_FILE, WORDS_FILE, SETTINGS_FILE = "names.json", "words.json", "settings.toml"
Body = dict[str, Any]

QUESTION = Question(
    id="q-0123",
    platform="slack",
    tenant="T1",
    channel="C1",
    thread="17.2",
    message_id="17.3",
    asker="U1",
    asker_name="Ada",
    text="Wie lang? 多久？",
    language="zh",
    asked_at_s=1_700_000_000.5,
    accepted_at_s=1_700_000_001.5,
    address={"thread_ts": "17.2"},
    heard="follow_up",
)
FINAL = FinalAnswer(
    question=QUESTION.to_wire(),
    outcome=Outcome.ANSWERED,
    text="Ninety days.",
    citations=(Citation("Handbook › Tokens", "handbook/tokens.md", "A token is valid for ninety days."),),
    reason="why_not",
    queued_ms=10,
    first_text_ms=20,
    total_ms=30,
    versions={"fennel": "0.1.0"},
    mentions=("U2",),
)
WHY = Why(
    question_id="q-0123",
    decided_at_s=1_700_000_002.5,
    outcome="answered",
    verdict="answer",
    score=0.75,
    min_score=0.5,
    sure=True,
    heard="mention",
    with_thread=True,
    written_by="model",
    model="default",
    reasons=("near",),
    passages=(FoundPassage("Tokens", "handbook/tokens.md", 0.75, 0.5, 0.25, True),),
)
MESSAGE = ChatMessage(
    "slack", "T1", "C1", "17.2", "17.3", "U1", "Ada", "hm", 1_700_000_000.5, False, True, True, {"a": "b"}
)
POST = Post(
    id="r-q-0123",
    room="general",
    root="0123",
    person="guest-0123",
    name="Ada",
    text="Ninety days.",
    at_s=1_700_000_002.5,
    thread="0123",
    question_id="q-0123",
    outcome="answered",
    is_notice=False,
    mentions_us=False,
    mentions=("guest-4567",),
    citations=(Citation("Tokens", "handbook/tokens.md", "Tokens last ninety days."),),
    verdicts={"guest-4567": "good"},
)
SEND_STATE = send_state.SendState(send_state.SendStage.SENT, "17.4", "17.1", 1_700_000_003.5, "failed")


@dataclass(frozen=True)
class Form:
    """One thing that stands in Redis: how it is written today, and how what stands there is read and written again."""

    write: Callable[[], Body]
    rewrite: Callable[[Body], Body]


def _record(record: Any) -> Form:
    kind = type(record)
    return Form(
        lambda: json.loads(record.to_wire()), lambda body: json.loads(kind.from_wire(json.dumps(body)).to_wire())
    )


def _job(body: Body) -> Body:
    """A job is read by RQ and by nobody of ours but for the question in it."""
    function, instance, (wire,), keywords = json.loads(body["data"])
    question = Question.from_wire(wire).to_wire()
    return {**body, "data": json.dumps([function, instance, [question], keywords])}


FORMS: Mapping[str, Form] = {
    "question": _record(QUESTION),
    "final": _record(FINAL),
    "partial": _record(PartialAnswer("q-0123", "Ninety")),
    "turn": _record(Turn("q-0123", "U1", "Ada", "How long?", "Ninety days.", 1_700_000_001.5, place=3, tokens=9)),
    "why": _record(WHY),
    "feedback": _record(feedback.Feedback("q-0123", "slack", "U1", "bad", 1_700_000_009.5, "wrong", FINAL.to_wire())),
    "delivery": Form(
        lambda: dict(SEND_STATE.to_fields()),  # type: ignore[arg-type]
        lambda body: dict(send_state.SendState.from_fields(body).to_fields()),  # type: ignore[arg-type]
    ),
    "job": Form(lambda: job_fields.job_fields(QUESTION, 300.0), _job),
    "overheard": Form(lambda: asdict(MESSAGE), lambda body: asdict(overhearing.read_message(json.dumps(body)))),
    "bot-lock": Form(
        lambda: json.loads(lock.Holder("token", 7, 1_700_000_000.5, "host boot").to_value()),
        lambda body: json.loads((lock.Holder.parse(json.dumps(body)) or lock.Holder("", 0, 0, "")).to_value()),
    ),
    "wecom-answer": Form(
        lambda: asdict(wecom.Record(1_700_000_000.5, True, "kept", "plan", True, 2, 1)),
        lambda body: asdict(read_record(wecom.Record, json.dumps(body))),
    ),
    "weixin-answer": Form(
        lambda: asdict(weixin.Record("plan", 2, 1, True)),
        lambda body: asdict(read_record(weixin.Record, json.dumps(body))),
    ),
    "web-post": Form(
        lambda: json.loads(POST.to_json()),
        lambda body: json.loads(Post.from_json(json.dumps(body)).to_json()),
    ),
}

WORDS: Mapping[str, type[StrEnum]] = {"outcome": Outcome, "send stage": send_state.SendStage}


def names_today() -> dict[str, str]:
    """Every name in Redis, with what stands for its parts in braces."""
    found = {}
    for name, value in vars(names).items():
        if inspect.isfunction(value):
            parts = [f"{{{part}}}" for part in inspect.signature(value).parameters]
            found[name] = str(value(*parts))
        elif name.isupper() and isinstance(value, str):
            found[name] = value
    return found


def words_today() -> dict[str, list[str]]:
    """The words that a reader has to know."""
    return {name: [str(word) for word in words] for name, words in WORDS.items()}


def files_of(kind: str, version: int) -> list[Path]:
    """The forms of a kind in a version, the oldest first."""
    return sorted(
        (FOLDER / f"v{version}").glob(f"{kind}-[0-9]*.json"), key=lambda file: int(file.stem.rpartition("-")[2])
    )


def read(file: Path) -> Any:
    """What stands in a file."""
    return json.loads(file.read_text(encoding="utf-8"))


def main() -> None:
    """Add what is new."""
    folder = FOLDER / f"v{WIRE_VERSION}"
    folder.mkdir(exist_ok=True)
    for kind, form in FORMS.items():
        body, kept = form.write(), files_of(kind, WIRE_VERSION)
        if not kept or read(kept[-1]).keys() != body.keys():
            _write(folder / f"{kind}-{len(kept) + 1}.json", body)
    for file, today in ((NAMES_FILE, names_today()), (WORDS_FILE, words_today())):
        before = read(folder / file) if (folder / file).exists() else {}
        changed = [name for name, value in before.items() if today.get(name) != value]
        if changed:
            sys.exit(f"{', '.join(changed)} in {file} changed within version {WIRE_VERSION}: see docs/upgrading.md")
        if before != today:
            _write(folder / file, today)
    shutil.copyfile(DEFAULTS_FILE, folder / SETTINGS_FILE)


def _write(file: Path, body: Any) -> None:
    file.write_text(json.dumps(body, ensure_ascii=False, indent=1, default=str) + "\n", encoding="utf-8")
    print(file)


if __name__ == "__main__":
    main()
