"""`fennel kb tune`: the gate learns from a team's own questions, and says how well it does on those held back."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.knowledge import BASE_OPTION, opened
from cli.plot_file import check_plot_file
from cli.printing import JSON_OPTION, PROGRESS_OPTION, new_table, print_json, print_table, progress_bar
from cli.question_file import read_questions
from config.loading import load_settings
from config.settings import Settings
from contract.errors import FennelError

if TYPE_CHECKING:
    from workers.gates.curve import Truth
    from workers.gates.evaluation import Evaluation
    from workers.gates.measuring import Measured
    from workers.gates.training import TeamTraining

FEWEST = 10
MOST = 10_000
_TRADES = (0.7, 0.8, 0.9, 0.95)
_CURVE_POINTS = 100


@dataclass(frozen=True, slots=True)
class Examples:
    """What there is to learn from: the questions in their files' order, and what was left out."""

    good: tuple[str, ...]
    bad: tuple[str, ...]
    notes: tuple[str, ...]


@click.command()
@click.option("--good", required=True, type=click.Path(path_type=Path), help="Questions that the documents answer.")
@click.option("--bad", required=True, type=click.Path(path_type=Path), help="What the bot should be silent on.")
@BASE_OPTION
@click.option(
    "--precision",
    default=0.9,
    show_default=True,
    type=click.FloatRange(0.5, 0.999),
    help="The share of answers that have to be right.",
)
@click.option("--plot", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw precision and recall.")
@click.option("--dry-run", is_flag=True, help="Show what it would be worth, and change nothing.")
@JSON_OPTION
@PROGRESS_OPTION
def tune(good: Path, bad: Path, base: str, precision: float, plot: Path | None, dry_run: bool, as_json: bool) -> None:
    """Teach the gate what this team asks, and show what that is worth on questions held back.

    One question a line, or JSON lines, a JSON list or CSV with "question" or "text". What `fennel feedback export`
    prints serves as both files at once: each takes the verdicts that it is for. The settings stay as they are: what
    was learned goes to a file of its own in the home folder, and a running worker takes it up by itself.
    """
    settings = load_settings()
    if plot:
        check_plot_file(plot)
    examples = read_examples(good, bad)
    for note in examples.notes:
        click.echo(f"note: {note}", err=True)
    measured, answered, training = _measured(base, examples)
    found = _evaluated(training, measured, answered, precision)
    file = None if dry_run else _write(settings, base, training, answered, found, precision)
    if plot:
        _draw(plot, found, measured, answered, training, precision)
    said = _as_body(found, answered, precision, file, examples)
    if as_json:
        print_json(said)
    else:
        _print(said, found, precision, file)


def read_examples(good: Path, bad: Path) -> Examples:
    """Both files, without what is empty, there twice, or in both; raises FennelError where too few are left."""
    notes: list[str] = []
    read = {name: [one for one in read_questions(file, name) if one] for name, file in (("good", good), ("bad", bad))}
    unique = {name: list(dict.fromkeys(found)) for name, found in read.items()}
    both = set(unique["good"]) & set(unique["bad"])
    if both:
        notes.append(f"{len(both)} stand in both files and teach nothing: they are left out")
    twice = sum(len(read[name]) - len(unique[name]) for name in read)
    if twice:
        notes.append(f"{twice} stand twice in a file and count once")
    kept: dict[str, tuple[str, ...]] = {}
    for name, file in (("good", good), ("bad", bad)):
        left = [one for one in unique[name] if one not in both]
        if len(left) < FEWEST:
            raise FennelError(
                f"{file} has {len(left)} different questions that are not in the other file: "
                f"at least {FEWEST} of each kind are needed, a hundred are better"
            )
        if len(left) > MOST:
            notes.append(f"{file} has {len(left):,} different questions: {MOST:,} of them, evenly spread, are used")
            left = [left[at * len(left) // MOST] for at in range(MOST)]
        kept[name] = tuple(left)
    return Examples(kept["good"], kept["bad"], tuple(notes))


def _measured(base: str, examples: Examples) -> tuple[Measured, Truth, TeamTraining]:
    import numpy as np

    from workers.gates.learned import wording_embedder
    from workers.gates.measuring import measure
    from workers.gates.model import SHIPPED_FILE, GateModel
    from workers.gates.training import TeamTraining, for_embedder
    from workers.knowledge.base import check_base_name
    from workers.knowledge.retrievers.hybrid import open_retriever

    texts = [*examples.good, *examples.bad]
    with opened() as (store, embedder), progress_bar() as progress:
        if not store.documents(check_base_name(base)):
            raise FennelError(f"the knowledge base {base} is empty: `fennel kb add` comes first")
        task = progress.add_task("Searching for each question", total=len(texts))
        retriever = open_retriever(load_settings(), store, embedder)
        measured = measure(
            texts, retriever, wording_embedder(embedder), (base,), lambda: progress.update(task, advance=1)
        )
        shipped = for_embedder(GateModel.read(SHIPPED_FILE), measured, embedder.id)
    answered = np.arange(len(texts)) < len(examples.good)
    return measured, answered, TeamTraining(shipped, measured)


def _evaluated(training: TeamTraining, measured: Measured, answered: Truth, precision: float) -> Evaluation:
    from workers.gates.evaluation import evaluate

    with progress_bar() as progress:
        task = progress.add_task("Learning and judging", total=None)
        return evaluate(
            training,
            measured,
            answered,
            precision,
            lambda done, whole: progress.update(task, completed=done, total=whole),
        )


def _write(
    settings: Settings, base: str, training: TeamTraining, answered: Truth, found: Evaluation, precision: float
) -> Path:
    import numpy as np

    from workers.gates.learned import model_file

    team = training.fit(np.arange(len(answered)), answered, found.setting)
    file = model_file(settings.gate_folder, base)
    about = {
        "made_by": "fennel kb tune",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "good": int(answered.sum()),
        "bad": int((~answered).sum()),
        "precision": precision,
        "recall_held_out": round(found.rows["tuned"].recall, 3),
    }
    try:
        training.model(team, found.min_score).write(file, about)
    except OSError as error:
        raise FennelError(f"{file} cannot be written: {error.strerror}") from error
    return file


def _as_body(
    found: Evaluation, answered: Truth, precision: float, file: Path | None, examples: Examples
) -> dict[str, Any]:
    from workers.gates.curve import confusion

    return {
        "good": int(answered.sum()),
        "bad": int((~answered).sum()),
        "precision": precision,
        "reached": found.reached,
        "min_score": round(found.min_score, 4),
        "held_out": {
            name: {key: round(value, 3) for key, value in asdict(row).items()} for name, row in found.rows.items()
        },
        "confusion": confusion(found.logits_as_scores, answered, found.min_score),
        "recall_at": {str(one): round(found.curve.recall_at(one), 3) for one in _TRADES},
        "notes": list(examples.notes),
        "curve": _curve(found),
        "file": str(file) if file else None,
    }


def _curve(found: Evaluation) -> list[dict[str, float]]:
    """Precision and recall by threshold, at most `_CURVE_POINTS` of them, evenly spread."""
    curve, count = found.curve, len(found.curve.scores)
    chosen = sorted({number * (count - 1) // (_CURVE_POINTS - 1) for number in range(_CURVE_POINTS)})
    return [
        {
            "score": round(float(curve.scores[one]), 4),
            "precision": round(float(curve.precision[one]), 4),
            "recall": round(float(curve.recall[one]), 4),
        }
        for one in chosen
    ]


def _print(said: dict[str, Any], found: Evaluation, precision: float, file: Path | None) -> None:
    table = new_table("On questions held back", f"Recall at {precision:.0%}", "±", "Forward in order", "AUC", "Best F1")
    for name, row in found.rows.items():
        numbers = (row.recall, row.recall_spread, row.recall_forward, row.auc, row.f1)
        table.add_row(name, *(f"{number:.2f}" for number in numbers))
    print_table(table)
    cells = said["confusion"]
    table = new_table("Held out, at the threshold", "Answered", "Refused")
    table.add_row("should be answered", str(cells["answered_rightly"]), str(cells["refused_wrongly"]))
    table.add_row("should not", str(cells["answered_wrongly"]), str(cells["refused_rightly"]))
    print_table(table)
    trades = ", ".join(f"{found.curve.recall_at(one):.0%} at {one:.0%}" for one in _TRADES)
    click.echo(f"share of the {said['good']} good ones answered, by precision: {trades}")
    if not found.reached:
        click.echo(
            f"no threshold is right {precision:.0%} of the time: the most precise one is used; try more questions"
        )
    kept = f"written to {file}, running workers take it up" if file else "nothing was changed"
    click.echo(f"answered from a score of {found.min_score:.2f} on; {kept}")


def _draw(
    plot: Path, found: Evaluation, measured: Measured, answered: Truth, training: TeamTraining, precision: float
) -> None:
    from cli.curve_plot import draw
    from workers.gates.curve import Curve

    curves = {
        "tuned (held out)": found.curve,
        "as shipped": Curve.of(training.shipped_logits, answered),
        "cosine alone": Curve.of(measured.column("dense"), answered),
        "words alone": Curve.of(measured.column("coverage"), answered),
        "length alone": Curve.of(measured.column("length"), answered),
    }
    draw(plot, curves, precision)
