"""`fennel why`: why the bot answered a question, or was silent.

Exit codes: 3 nothing is known of the question, 5 Redis does not answer.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from cli.printing import JSON_OPTION, print_json, printable
from config.loading import load_settings
from config.settings import Settings
from contract import names
from contract.answer import Outcome
from contract.why import Why

if TYPE_CHECKING:
    from rich.table import Table

UNKNOWN, NOTHING_RUNNING = 3, 5
_TIMEOUT_S = 3.0
_WRITTEN_BY = {
    "model": "the model wrote the answer, and each number and name of it stands in a passage",
    "quote": "the passage's own words were quoted: the model could not write it, or what it wrote was not in them",
    "both": "the model began the answer; what was not in the passages gave way to the passage's own words",
    "nobody": "the model was not asked",
}
# What ended a question before the gate saw it, or in spite of it.
_OTHER_ENDS = {
    Outcome.BUSY: "the queue was full when it came",
    Outcome.EXPIRED: "it waited for longer than queue.answer_ttl_s",
    Outcome.FAILED: "something broke while it was answered: `fennel logs` and RQ's failed jobs tell more",
    Outcome.STOPPED: "somebody stopped it",
    Outcome.REFUSED: "it was empty or too long, or not allowed",
    Outcome.TOLD: "it was a command of the chat",
    Outcome.WITHDRAWN: "its answer was withdrawn",
}


@click.command()
@click.argument("question_id", metavar="QUESTION-ID")
@JSON_OPTION
def why(question_id: str, as_json: bool) -> None:
    """Tell why the bot answered a question or was silent; `gate.why_ttl_s` says how long it can.

    The id of a question stands in the worker's log, and in the chat where somebody writes "why" to the bot.
    """
    import redis

    settings = load_settings()
    try:
        found, outcome = _read(settings, question_id)
    except redis.RedisError:
        click.echo("fennel: Redis does not answer: `fennel up` starts it.", err=True)
        sys.exit(NOTHING_RUNNING)
    if found is None and outcome is None:
        days = settings.gate.why_ttl_s / names.SECONDS_A_DAY
        click.echo(f"fennel: nothing is known of {question_id}: another id, or older than {days:g} days.", err=True)
        sys.exit(UNKNOWN)
    if as_json:
        print_json({"outcome": outcome, "why": asdict(found) if found else None})
    else:
        _print(question_id, found, outcome)


def _read(settings: Settings, question_id: str) -> tuple[Why | None, str | None]:
    """What the gate decided and how the question ended, or that it has not yet."""
    from config.redis_clients import threads_client

    with threads_client(settings.redis_address, _TIMEOUT_S) as connection:
        wire: Any = connection.get(names.why_key(question_id))
        outcome: Any = connection.hget(names.delivery_key(question_id), "outcome")
        if outcome is None and connection.exists(names.question_key(question_id), names.job_key(question_id)):
            outcome = "waiting"
    found = Why.from_wire(wire) if wire else None
    return found, outcome or (found.outcome if found else None)


def _print(question_id: str, found: Why | None, outcome: str | None) -> None:
    from rich.console import Console

    console = Console(highlight=False, markup=False, soft_wrap=True)
    if found is None:
        said = "it waits, or is being answered" if outcome == "waiting" else _other_end(outcome)
        console.print(f"{question_id} ended as {outcome}" if outcome != "waiting" else f"{question_id} has no end yet")
        console.print(f"{said or 'why is not kept any more'}; the gate's part is not known.")
        return
    at = datetime.fromtimestamp(found.decided_at_s).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    console.print(f"{question_id}: {outcome}, decided at {at}")
    console.print(_sentence(found))
    if ended := _other_end(outcome):
        console.print(f"Then: {ended}.")
    if found.with_thread:
        console.print("It was searched together with the question before it in the thread.")
    console.print(f"Written: {_WRITTEN_BY.get(found.written_by, found.written_by)} ({found.model}).")
    console.print(f"Seen: {', '.join(found.reasons)}")
    console.print(_passages(found))


def _sentence(found: Why) -> str:
    against = f"score {found.score:.3f}, threshold {found.min_score:.3f}"
    if found.verdict == "answer" and found.outcome != Outcome.ANSWERED:
        return (
            f"The gate would have answered ({against}), but nobody asked, and it was not sure enough to speak unasked."
        )
    said = {
        "answer": f"The passages answer it: {against}.",
        "not_found": f"The passages do not answer it: {against}.",
        "small_talk": f"It was taken for small talk ({against}).",
        "not_question": f"It was taken for a remark, no question for the bot ({against}).",
    }
    return said.get(found.verdict, f"{found.verdict}: {against}.")


def _passages(found: Why) -> Table | str:
    from rich.table import Table
    from rich.text import Text

    if not found.passages:
        return "The search found no passage."
    table = Table("Given", "Score", "Meaning", "Words", "Passage")
    for one in found.passages:
        numbers = (f"{value:.2f}" for value in (one.score, one.dense, one.coverage))
        table.add_row(
            "yes" if one.given else "", *numbers, Text(printable(f"{one.title}\n{one.source}"), overflow="fold")
        )
    return table


def _other_end(outcome: str | None) -> str:
    return next((said for other, said in _OTHER_ENDS.items() if other == outcome), "")
