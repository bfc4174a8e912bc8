"""`fennel feedback`: what people think of the answers, and what they asked in vain."""

from __future__ import annotations

import asyncio
import csv
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from redis.exceptions import RedisError

from cli.plot_file import check_plot_file
from cli.printing import JSON_OPTION, new_table, plain, print_json, print_table
from config.loading import load_settings
from contract import names
from contract.answer import FinalAnswer, Outcome
from contract.errors import FennelError
from contract.question import Question

if TYPE_CHECKING:
    from bot.feedback import Feedback
    from cli.weeks import Week

SHOWN_ROWS = 50
SHOWN_TOPICS = 10
SHOWN_SLOWEST = 5
TEXT_CHARACTERS = 80
BAR_CHARACTERS = 24
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

LOOK_BACK = click.IntRange(1, 3_650)
DAYS = click.option("--days", default=90, show_default=True, type=LOOK_BACK, help="How far back to look.")


@click.group()
def feedback() -> None:
    """What people think of the answers: list, export, report."""


@feedback.command(name="list")
@DAYS
@click.option("--bad", "only_bad", is_flag=True, help="Only what people found bad.")
def list_(days: int, only_bad: bool) -> None:
    """List verdicts with question and answer, the newest first."""
    _, judged = _read(days)
    rows = [one for one in reversed(judged) if one.verdict == "bad" or not only_bad]
    table = new_table("When", "", "By", "Question", "Answer", "Reason")
    for one in rows[:SHOWN_ROWS]:
        record = _record(one)
        when = datetime.fromtimestamp(one.at_s, UTC).strftime("%Y-%m-%d %H:%M")
        sign = "👍" if one.verdict == "good" else "👎"
        table.add_row(when, sign, *(plain(_short(str(record[key]))) for key in ("by", "question", "answer", "reason")))
    print_table(table)
    click.echo(f"{len(rows)} verdicts" + (f", the newest {SHOWN_ROWS} are shown" if len(rows) > SHOWN_ROWS else ""))


@feedback.command()
@DAYS
@click.option(
    "--format",
    "form",
    default="jsonl",
    show_default=True,
    type=click.Choice(["jsonl", "csv"]),
    help="A JSON object a line, or a table.",
)
def export(days: int, form: str) -> None:
    """Print all verdicts with question, answer, passages and versions."""
    _, judged = _read(days)
    records = [_record(one) for one in judged]
    if form == "jsonl":
        for record in records:
            print_json(record)
        return
    writer = csv.writer(sys.stdout)
    keys = ["at", "platform", "verdict", "reason", "by", "question_id", "question", "answer", "passages", "versions"]
    writer.writerow(keys)
    for record in records:
        writer.writerow([_cell(record[key]) for key in keys])


@feedback.command()
@DAYS
@JSON_OPTION
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw the weeks into a PNG or SVG file.")
def report(days: int, as_json: bool, plot: Path | None) -> None:
    """Show the weeks, what people asked in vain most (what to document next), and the slowest answers."""
    from cli.weeks import weeks_of

    if plot is not None:
        check_plot_file(plot)
    shown, judged = _read(days)
    weeks = weeks_of(shown, judged)
    missed = [Question.from_wire(final.question).text for _, final in shown if final.outcome is Outcome.NOT_FOUND]
    topics = _topics(missed)
    answered = [final for _, final in shown if final.outcome is Outcome.ANSWERED]
    slowest = sorted(answered, key=lambda final: -final.total_ms)[:SHOWN_SLOWEST]
    if plot is not None:
        from cli.week_plot import draw

        draw(plot, weeks)
    if as_json:
        print_json(
            {
                "weeks": [_described(week) for week in weeks],
                "document_next": [{"topic": name, "questions": list(questions)} for name, questions in topics],
                "slowest": [_slow(final) for final in slowest],
            }
        )
        return
    _print_weeks(weeks)
    _print_topics(topics)
    _print_slowest(slowest)


def _described(week: Week) -> dict[str, Any]:
    counts = {key: getattr(week, key) for key in ("asked", "answered", "not_found", "good", "bad")}
    return {"week": week.name, **counts, "median_s": week.median_s, "slowest_s": week.slowest_s}


def _print_weeks(weeks: Sequence[Week]) -> None:
    most = max((week.asked for week in weeks), default=0)
    table = new_table("Week", "Asked", "Answered", "Not found", "Good", "Bad", "Median s", "Slowest s", "")
    for week in weeks:
        bar = _bar(week.answered, week.not_found, week.asked, most)
        counts = [str(one) for one in (week.asked, week.answered, week.not_found, week.good, week.bad)]
        table.add_row(week.name, *counts, f"{week.median_s:.1f}", f"{week.slowest_s:.1f}", bar)
    print_table(table)


def _print_topics(topics: Sequence[tuple[str, tuple[str, ...]]]) -> None:
    table = new_table("What to document next", "Asked")
    for name, questions in topics[:SHOWN_TOPICS]:
        table.add_row(plain(_short(name)), str(len(questions)))
    if topics:
        print_table(table)


def _print_slowest(slowest: Sequence[FinalAnswer]) -> None:
    table = new_table("Slowest answers", "Seconds", "of them queued")
    for final in slowest:
        text = Question.from_wire(final.question).text
        table.add_row(plain(_short(text)), f"{final.total_ms / 1000:.1f}", f"{final.queued_ms / 1000:.1f}")
    if slowest:
        print_table(table)


def _topics(questions: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    if not questions:
        return []
    from workers.knowledge.embedder import open_embedder
    from workers.topics import topics

    embedder = open_embedder(load_settings().knowledge.embedder)
    return [(topic.name, topic.questions) for topic in topics(questions, embedder)]


def _read(days: int) -> tuple[list[tuple[float, FinalAnswer]], list[Feedback]]:
    """What the chats saw and what people thought of it since then."""
    from bot.feedback import all_feedback
    from bot.history import all_shown
    from bot.redis_link import plain_client

    since_s = time.time() - days * names.SECONDS_A_DAY

    async def read() -> tuple[list[tuple[float, FinalAnswer]], list[Feedback]]:
        async with plain_client(load_settings().redis_address) as redis:
            shown = [one async for one in all_shown(redis, since_s)]
            return shown, [one async for one in all_feedback(redis, since_s)]

    try:
        return asyncio.run(read())
    except RedisError as error:
        raise FennelError(f"Redis does not answer: {error}; `fennel up` starts it") from error


def _record(one: Feedback) -> dict[str, Any]:
    """A verdict with what it judges; empty where that is not kept any more."""
    final = FinalAnswer.from_wire(one.final) if one.final else None
    return {
        "at": datetime.fromtimestamp(one.at_s, UTC).isoformat(timespec="seconds"),
        "platform": one.platform,
        "verdict": one.verdict,
        "reason": one.reason,
        "by": one.by,
        "question_id": one.question_id,
        "question": Question.from_wire(final.question).text if final else "",
        "answer": final.text if final else "",
        "passages": [{"title": c.title, "source": c.source, "quote": c.quote} for c in final.citations]
        if final
        else [],
        "versions": dict(final.versions) if final else {},
    }


def _slow(final: FinalAnswer) -> dict[str, Any]:
    question = Question.from_wire(final.question)
    return {"question_id": question.id, "question": question.text, "total_ms": final.total_ms}


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= TEXT_CHARACTERS else f"{line[:TEXT_CHARACTERS]}…"


def _cell(value: Any) -> str:
    """A cell that no spreadsheet takes for a formula: what people write in a chat may begin like one."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _bar(answered: int, missed: int, asked: int, most: int) -> str:
    """A week's questions as a bar: answered, not found, and the rest."""
    share = BAR_CHARACTERS / most if most else 0
    return (
        "█" * round(answered * share) + "▒" * round(missed * share) + "░" * round((asked - answered - missed) * share)
    )
