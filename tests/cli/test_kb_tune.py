"""`fennel kb tune` and `fennel kb score`: the gate learns from a team's questions, and says what it makes of others."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.kb import kb
from cli.kb_tune import MOST, read_examples
from cli.question_file import QuestionFileError, read_questions
from config.environment import CHECKOUT
from contract.errors import FennelError
from workers.gates import training
from workers.gates.model import GateModel

PRODUCT = CHECKOUT / "tests" / "data" / "gate" / "kestrel"
LINES = [json.loads(line) for line in (PRODUCT / "questions.jsonl").read_text(encoding="utf-8").splitlines()]
GOOD = [line["text"] for line in LINES if line["label"] == "answer"]
BAD = [line["text"] for line in LINES if line["label"] != "answer"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(kb, arguments, env={"COLUMNS": "160"})


def said_of(result: Result) -> str:
    """What the command would be ended with by `fennel`."""
    assert isinstance(result.exception, FennelError), result.output
    return str(result.exception)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose knowledge base holds a product's documents."""
    home = tmp_path_factory.mktemp("tuned") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FENNEL_HOME", str(home))
        assert run("add", str(PRODUCT / "docs")).exit_code == 0
    return home


@pytest.fixture
def home(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, to be tuned."""
    copied = tmp_path / "home"
    shutil.copytree(filled, copied)
    monkeypatch.setenv("FENNEL_HOME", str(copied))
    monkeypatch.chdir(tmp_path)
    # Two settings instead of all: what is chosen among is the benchmark's business.
    monkeypatch.setattr(training, "TEAM_SETTINGS", training.TEAM_SETTINGS[1:5:3])
    return copied


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    return write(tmp_path / "good.txt", GOOD), write(tmp_path / "bad.txt", BAD)


def write(file: Path, lines: Sequence[str]) -> str:
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(file)


def test_tune_shows_what_it_is_worth_and_writes_a_file_of_its_own(home: Path, files: tuple[str, str]) -> None:
    """The baselines, the confusion and the curve's points are told; the settings' file is not there, the model is."""
    good, bad = files
    result = run("tune", "--good", good, "--bad", bad, "--plot", "curve.png", "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    said = json.loads(result.stdout)
    assert (said["good"], said["bad"]) == (len(GOOD), len(BAD))
    assert set(said["held_out"]) == {"tuned", "as shipped", "cosine alone", "words alone", "length alone"}
    assert said["held_out"]["tuned"]["auc"] > said["held_out"]["length alone"]["auc"] + 0.1
    assert sum(said["confusion"].values()) == len(GOOD) + len(BAD)
    assert said["recall_at"]["0.7"] >= said["recall_at"]["0.95"]
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")
    assert said["file"] == str(home / "gate" / "default.json")
    assert not (home / "fennel.toml").exists()
    assert GateModel.read(home / "gate" / "default.json").min_score == pytest.approx(said["min_score"])


def test_a_dry_run_changes_nothing(home: Path, files: tuple[str, str]) -> None:
    """The curve is told as points that a program can draw, and no model is written; progress is lines on stderr."""
    result = run("tune", "--good", files[0], "--bad", files[1], "--dry-run", "--json", "--progress")
    said = json.loads(result.stdout)
    assert said["file"] is None
    assert not (home / "gate").exists()
    points = said["curve"]
    assert 10 < len(points) <= 100
    assert [one["score"] for one in points] == sorted((one["score"] for one in points), reverse=True)
    assert [one["recall"] for one in points] == sorted(one["recall"] for one in points)
    assert all(0 <= one["precision"] <= 1 for one in points)
    steps = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    assert {one["what"] for one in steps} == {"Searching for each question", "Learning and judging"}
    assert [one for one in steps if one["done"] > one["whole"]] == []
    assert steps[-1]["done"] == steps[-1]["whole"]


def test_score_tells_each_line_in_its_order(home: Path, files: tuple[str, str]) -> None:
    """A line of JSON for each line of the file, also for empty ones; before and after tuning, by the model of then."""
    asked = write(home.parent / "asked.txt", ["多卡训练命令是啥", "", "楼上说得对", "谢谢大佬！"])
    before = [json.loads(line) for line in run("score", "--json", asked).stdout.splitlines()]
    assert [row["line"] for row in before] == [1, 2, 3, 4]
    assert [row["decision"] for row in before][2:] == ["not_question", "small_talk"]
    assert before[0]["decision"] == "answer"
    assert before[0]["source"].endswith("train.md")
    assert "model=shipped" in before[0]["reasons"]
    assert before[1]["decision"] != "answer"
    assert run("tune", "--good", files[0], "--bad", files[1]).exit_code == 0
    after = run("score", "--kb", "default", "--json", asked)
    assert "model=tuned" in json.loads(after.stdout.splitlines()[0])["reasons"]
    table = run("score", asked).output
    assert "多卡训练命令是啥" in table


def test_what_was_learned_is_better_than_what_shipped(home: Path, files: tuple[str, str]) -> None:
    """A phrase that this team's chat is full of, and that nothing answers, is refused after it was taught."""
    odd = [f"周报第{number}条谁来填一下训练进度，学习率和显存写清楚" for number in range(40)]
    asked = write(home.parent / "asked.txt", ["周报第99条谁来填一下训练进度，学习率和显存写清楚"])
    bad = write(home.parent / "odd.txt", [*BAD, *odd])
    before = json.loads(run("score", "--json", asked).stdout)
    assert run("tune", "--good", files[0], "--bad", bad).exit_code == 0
    after = json.loads(run("score", "--json", asked).stdout)
    assert after["score"] < before["score"] / 2
    assert after["decision"] != "answer"


# --- bad input


def test_too_few_questions_are_refused_with_a_number(home: Path, files: tuple[str, str]) -> None:
    """An empty class and a class of three are told which file it is, and how many are needed."""
    for few in ([], GOOD[:3]):
        file = write(home.parent / "few.txt", few)
        said = said_of(run("tune", "--good", file, "--bad", files[1]))
        assert "few.txt" in said
        assert "at least 10" in said


def test_an_empty_base_is_told(home: Path, files: tuple[str, str]) -> None:
    """There is nothing to search in a base that is not there."""
    assert "fennel kb add" in said_of(run("tune", "--good", *files[:1], "--bad", files[1], "--kb", "other"))
    assert "fennel kb add" in said_of(run("score", files[0], "--kb", "other"))
    assert "cannot be called" in said_of(run("score", files[0], "--kb", "../up"))


def test_what_stands_in_both_files_teaches_nothing(tmp_path: Path) -> None:
    """A question that is good and bad is left out of both, one that is there twice counts once; both are told."""
    good = write(tmp_path / "good.txt", [*GOOD[:12], GOOD[0], "both"])
    bad = write(tmp_path / "bad.txt", [*BAD[:12], "both"])
    examples = read_examples(Path(good), Path(bad))
    assert (examples.good, examples.bad) == (tuple(GOOD[:12]), tuple(BAD[:12]))
    assert len(examples.notes) == 2


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_exported_feedback_is_both_files_at_once(tmp_path: Path, form: str) -> None:
    """Of rows with a verdict, the good ones are good questions and the bad ones bad."""
    rows = [("good", one) for one in GOOD[:12]] + [("bad", one) for one in BAD[:12]]
    file = tmp_path / f"feedback.{form}"
    if form == "csv":
        with file.open("w", encoding="utf-8", newline="") as out:
            csv.writer(out).writerows([("at", "verdict", "question"), *(("1", *row) for row in rows)])
    else:
        write(file, [json.dumps({"verdict": verdict, "question": one, "answer": "x"}) for verdict, one in rows])
    examples = read_examples(file, file)
    assert (examples.good, examples.bad, examples.notes) == (tuple(GOOD[:12]), tuple(BAD[:12]), ())


def test_a_hundred_thousand_lines_are_thinned_out(tmp_path: Path) -> None:
    """From a huge file as many as can be learned from are taken, evenly spread, and that is told."""
    bad = write(tmp_path / "bad.txt", [f"line {number}" for number in range(100_000)])
    examples = read_examples(Path(write(tmp_path / "good.txt", GOOD)), Path(bad))
    assert len(examples.bad) == MOST
    assert examples.bad[1] == f"line {100_000 // MOST}"
    assert "100,000" in examples.notes[0]


def test_a_picture_that_cannot_be_drawn_is_told_before_the_work(home: Path, files: tuple[str, str]) -> None:
    """A folder that is not there ends the command before anything is searched or written."""
    assert "no folder" in said_of(run("tune", "--good", files[0], "--bad", files[1], "--plot", "no/where.png"))
    assert not (home / "gate").exists()


def test_without_matplotlib_the_package_is_named(
    home: Path, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The picture is optional, and so is what draws it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "fennel[plot]" in said_of(run("tune", "--good", files[0], "--bad", files[1], "--plot", "curve.png"))


def test_a_broken_model_is_told_where_it_would_count(home: Path, files: tuple[str, str]) -> None:
    """Scores of another model than the file's would mislead."""
    (home / "gate").mkdir()
    (home / "gate" / "default.json").write_text("{")
    assert "fennel kb tune" in said_of(run("score", files[0]))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("q.txt", "一\n\n two \n"),
        ("q.jsonl", '"一"\n\n{"text": "", "x": 1}\n{"question": "two"}\n'),
        ("q.json", '["一", "", {"text": "two"}]'),
        ("q.csv", "id,Question\n1,一\n2\n3,two\n"),
        ("bom.csv", '\ufeff一\n""\ntwo\n'),
    ],
)
def test_each_form_of_file_gives_its_questions(tmp_path: Path, name: str, content: str) -> None:
    """Text, JSON lines, a JSON list and CSV; a row without a question is an empty one."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_questions(tmp_path / name) == ["一", "", "two"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("q.txt", "第一行\n问题".encode("gb18030"), "is not UTF-8 (line 1)"),
        ("q.jsonl", b'{"question": "a"}\n{oops', "line 2, is no JSON"),
        ("q.jsonl", b'{"answer": "a"}', "line 1, has no question"),
        ("q.json", b'{"a": 1}', "holds no list"),
        ("q.json", b"[" * 100_000, "is no JSON"),
        ("q.csv", b'a,"b', "is no CSV"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """Another encoding, broken JSON and rows without a question are one sentence with the place."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(QuestionFileError) as error:
        read_questions(tmp_path / name)
    assert said in str(error.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """So is a folder."""
    for place in (tmp_path / "none", tmp_path):
        with pytest.raises(QuestionFileError, match="cannot be read"):
            read_questions(place)
