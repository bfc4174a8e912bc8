"""`fennel kb score`: what the gate makes of each line of a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from cli.knowledge import BASE_OPTION, opened
from cli.printing import new_table, plain, print_table, progress_bar
from cli.question_file import read_questions
from config.loading import load_settings
from contract.errors import FennelError

_SHOWN_ROWS = 50


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@BASE_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each line.")
def score(file: Path, base: str, as_json: bool) -> None:
    """Show the gate's score, decision and reasons for each question of FILE, in its order."""
    from workers.gate import COMPARED_HITS
    from workers.gates.learned import model_file, open_gate
    from workers.gates.model import GateModel
    from workers.knowledge.base import check_base_name
    from workers.knowledge.retrievers.hybrid import open_retriever

    questions = read_questions(file)
    settings = load_settings()
    if (tuned := model_file(settings.gate_folder, check_base_name(base))).exists():
        GateModel.read(tuned)  # a worker would go on with another model; here it has to be this one
    rows: list[dict[str, Any]] = []
    with opened() as (store, embedder), progress_bar() as progress:
        if not store.documents(base):
            raise FennelError(f"the knowledge base {base} is empty: `fennel kb add` comes first")
        retriever, gate = open_retriever(settings, store, embedder), open_gate(settings, embedder)
        task = progress.add_task("Scoring", total=len(questions))
        for number, question in enumerate(questions, 1):
            hits = retriever.search(question, COMPARED_HITS, (base,)) if question else []
            decision = gate.decide(question, hits, (), (base,))
            row = {
                "line": number,
                "text": question,
                "score": round(decision.score, 4),
                "decision": decision.verdict,
                "sure": decision.sure,
                "min_score": round(decision.min_score, 4),
                "reasons": list(decision.reasons),
                "source": hits[0].passage.source if hits else "",
            }
            if as_json:
                # At once, so that a pipe can begin, and a stop loses nothing.
                sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
            else:
                rows.append(row)
            progress.update(task, advance=1)
    if not as_json:
        _print(rows)


def _print(rows: list[dict[str, Any]]) -> None:
    table = new_table("Line", "Score", "Decision", "Question", "Reasons")
    for row in rows[:_SHOWN_ROWS]:
        reasons = ", ".join(row["reasons"])
        table.add_row(str(row["line"]), f"{row['score']:.2f}", row["decision"], plain(row["text"]), plain(reasons))
    print_table(table)
    if len(rows) > _SHOWN_ROWS:
        click.echo(f"… and {len(rows) - _SHOWN_ROWS} more: --json shows them all")
