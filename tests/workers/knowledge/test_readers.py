"""Readers: what is taken from a real file of each format."""

from __future__ import annotations

import io
from pathlib import Path

import docx
import pytest
from docx.oxml import OxmlElement

from tests.workers.knowledge.documents import DOCUMENTS, UNPACKED_BYTES
from workers.knowledge.document import Section
from workers.knowledge.parse import parse
from workers.knowledge.reader import Reading


def read(name: str) -> Reading:
    return parse(name, (DOCUMENTS / "good" / name).read_bytes(), UNPACKED_BYTES)


def written(tmp_path: Path, name: str, text: str) -> Reading:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return parse(name, (tmp_path / name).read_bytes(), UNPACKED_BYTES)


def test_markdown() -> None:
    """The front matter names the title; emphasis goes, code and tables stay."""
    assert read("key.md") == Reading(
        "Keys of the stations",
        (
            Section((), ("Each station has two keys; one hangs in the boat house.",)),
            Section(
                ("Lost keys",),
                (
                    "Report a lost key to `keys@saltmarsh.example` on the same day.",
                    "| Station | Lock |\n| --- | --- |\n| North pier | K-17 |",
                ),
            ),
        ),
    )


def test_text() -> None:
    """Paragraphs part at empty lines, and the file's name is the title."""
    reading = read("tides.txt")
    assert reading.title == "tides"
    assert [len(section.blocks) for section in reading.sections] == [2]


def test_restructured_text() -> None:
    """Sphinx's roles and directives keep their words, tables and code their form, and nothing is included."""
    reading = read("calibration.rst")
    assert reading == Reading(
        "Calibration",
        (
            Section((), ("A gauge is calibrated in May, see the plan and /tools.",)),
            Section(
                ("Steps",),
                (
                    "1. Read the staff.\n2. Read the float.",
                    "2.1 The staff is read twice.",
                    "```sh\ngaugectl calibrate --station north\n```",
                    "| Staff | Allowed |\n| --- | --- |\n| wooden | 5 mm |\n| steel | 2 mm |",
                ),
            ),
        ),
    )


def test_html() -> None:
    """The page's main part is read: no menu, no footer, no script; a bar in a cell does not end it."""
    assert read("boats.html") == Reading(
        "Boats",
        (
            Section((), ("The red boat is for two people. Always take the radio.",)),
            Section(
                ("Booking",),
                (
                    "| Boat | Seats |\n| --- | --- |\n| Red \\| old | 2 |\n| Blue | 6 |",
                    "```sh\nboatctl book --boat blue\nboatctl list\n```",
                ),
            ),
        ),
    )


@pytest.mark.parametrize("charset", ["gb2312", "gbk", "utf-8", "big5"])
def test_html_in_the_encoding_that_it_declares(charset: str) -> None:
    """A page that says its encoding is read in it."""
    page = f'<html><head><meta charset="{charset}"></head><body><h1>出差</h1><p>每天有90元</p></body></html>'
    if charset == "big5":
        page = page.replace("每天", "每日")
    assert parse("a.html", page.encode(charset), UNPACKED_BYTES).title == "出差"


def test_a_table_that_lays_a_page_out_is_no_table(tmp_path: Path) -> None:
    """Headings inside table cells are headings."""
    page = "<table><tr><td>menu</td><td><h1>Boats</h1><p>Red.</p><table><tr><th>A</th></tr><tr><td>1</td></tr></table>"
    reading = written(tmp_path, "a.html", page + "</td></tr></table>")
    assert reading.title == "Boats"
    assert reading.sections[-1].blocks == ("Red.", "| A |\n| --- |\n| 1 |")


def test_pdf_has_pages_headings_and_tables() -> None:
    """The outline gives headings; a page's footer is no text; a sentence over a page's end belongs to the first."""
    reading = read("stations.pdf")
    assert reading.title == "Gauge stations"
    places = [(section.page, section.heading[1:]) for section in reading.sections]
    assert places == [
        (1, ("Where they are",)),
        (2, ("How they work",)),
        (3, ("How they work",)),
        (3, ("Cleaning",)),
    ]
    first, second, _, last = reading.sections
    head = "| Station | Depth | Keeper |\n| --- | --- | --- |\n"
    table = f"{head}| North pier | 4.2 m | Ines Ortega |\n| Old lock |  | Bo Lind |"
    assert first.blocks == (
        "The stations stand on the estuary's north bank. Each has a keeper who holds its key.",
        table,
    )
    assert second.blocks[-1].endswith("wire that turns a wheel.")
    assert last.blocks == ("The float chamber is rinsed with fresh water on the first Monday of each month.",)
    assert not any("Saltmarsh Instruments" in block for section in reading.sections for block in section.blocks)


def test_chinese_lines_of_a_pdf_are_joined_without_a_space() -> None:
    """A sentence that layout broke is whole again."""
    (section,) = read("zhandian.pdf").sections
    assert section == Section(
        (), ("每个站点每月巡检一次，由负责该站点的同事带上钥匙和备用电池。巡检后当天填写记录。",), 1
    )


def test_word() -> None:
    """The title's style is the title; lists and tables stay readable."""
    assert read("travel.docx") == Reading(
        "Travel policy",
        (
            Section((), ("Trips are booked by the office.",)),
            Section(("Trains",), ("- Second class up to four hours.\n- First class beyond that.",)),
            Section(
                ("Trains", "Daily allowance"),
                ("| Country | A day |\n| --- | --- |\n| Norway | 70 EUR |\n| 中国 | 90 元 |",),
            ),
        ),
    )


def test_power_point() -> None:
    """A slide is a page with its title as heading; its table and the speaker's notes are read."""
    assert read("storms.pptx") == Reading(
        "Storm season",
        (
            Section(
                ("Storm season",),
                ("- Double the readings\n  - Every three minutes", "Say who is on call in October."),
                1,
            ),
            Section(("Who to call",), ("| Sea state | Number |\n| --- | --- |\n| Above 6 | 0118 496 0001 |",), 2),
        ),
    )


def test_excel() -> None:
    """Each sheet is a section; numbers and dates read as a person wrote them; a list of questions becomes pairs."""
    parts = (
        "| Part | Stock | Price EUR | Counted |\n| --- | --- | --- | --- |\n"
        "| Float | 12 | 38.5 | 2026-03-01 |\n| Wire \\| 5 m | 40 | 9 |  |\n|  | 52 |  |  |"
    )
    assert read("spares.xlsx") == Reading(
        "spares",
        (
            Section(("Parts",), (parts,)),
            Section(("常见问题", "备件放在哪里？"), ("放在二号仓库的蓝色架子上。",)),
        ),
    )


def test_separated_values() -> None:
    """The separator is found out, and the first row names the columns."""
    (section,) = read("heights.csv").sections
    assert section.blocks == ("| Station | Height m |\n| --- | --- |\n| North pier | 4,2 |\n| Old lock | 3,9 |",)


def test_question_answer_pairs() -> None:
    """Each pair of a table or of JSON Lines is a section under its question, in whatever order the names come."""
    assert read("faq.csv").sections == (
        Section(("Where is the spare battery?",), ("In the boat house.", "The key is with Ines.")),
        Section(("Who paints the staff?",), ("Bo Lind",)),
    )
    assert read("faq.jsonl").sections == (
        Section(("浮子多久换一次？",), ("每三年换一次。",)),
        Section(("What voltage does a gauge need?",), ("Twelve volts.",)),
    )


def test_jupyter() -> None:
    """Text cells are Markdown, code cells come with what they printed, pictures are left out."""
    assert read("drift.ipynb") == Reading(
        "Drift of the north pier",
        (Section((), ("Drift is 2 mm a year.", "```python\nprint(drift_mm(2026))\n```", "```\n2.1\n```")),),
    )


def test_source_code_by_definition() -> None:
    """Each definition is a section under its name, with the comment above it; the rest of the file is one too."""
    sections = read("gauge.py").sections
    assert [section.heading for section in sections] == [(), ("Gauge",), ("read_all",)]
    assert sections[2].blocks[0].startswith("```python\n# The link is retried, because gulls")
    go = read("relay.go").sections
    assert [section.heading for section in go] == [(), ("Forward",), ("Station",), ("Key",)]
    assert go[1].blocks[0].startswith("```go\n// Forward sends")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("a.py", "class A:\n    x = 1\n\n    def m(self):\n        {long}\n"),
        ("a.ts", "export class A {{\n  x = 1;\n  m() {{ {long} }}\n}}\n"),
        ("a.js", "class A {{\n  x = 1;\n  m() {{ {long} }}\n}}\n"),
        ("a.java", "class A {{\n  int x;\n  void m() {{ {long} }}\n}}\n"),
        ("a.cpp", "class A {{\n  int x;\n  void m() {{ {long} }}\n}};\n"),
        ("a.cs", "class A {{\n  int x;\n  void m() {{ {long} }}\n}}\n"),
        ("a.rb", "class A\n  X = 1\n  def m\n    {long}\n  end\nend\n"),
        ("a.php", "<?php\nclass A {{\n  public $x = 1;\n  function m() {{ {long} }}\n}}\n"),
        ("a.rs", "impl A {{\n  const X: i32 = 1;\n  fn m() {{ {long} }}\n}}\n"),
    ],
)
def test_a_long_class_is_cut_into_its_methods(name: str, code: str) -> None:
    """A method of a long class is found under the class's name, and the class's head is kept."""
    reading = parse(name, code.format(long="f(" + "1, " * 800 + "1);").encode(), UNPACKED_BYTES)
    headings = [section.heading for section in reading.sections]
    assert ("A",) in headings
    assert ("A", "m") in headings


@pytest.mark.parametrize(("name", "found"), [("a.c", "f"), ("a.sh", "f"), ("a.h", "f")])
def test_functions_of_languages_without_classes(name: str, found: str) -> None:
    """A C function is called what stands inside its declarators; a shell's function is found too."""
    code = "f() {\n  echo 1\n}\n" if name.endswith("sh") else "#include <x.h>\nstatic int *f(int a) { return 0; }\n"
    assert parse(name, code.encode(), UNPACKED_BYTES).sections[-1].heading == (found,)


def test_code_that_does_not_parse_is_read_all_the_same() -> None:
    """Code with a mistake in it loses nothing."""
    (section,) = parse("a.js", b"function ( { not finished", UNPACKED_BYTES).sections
    assert "not finished" in section.blocks[0]


def test_the_content_tells_what_a_nameless_file_is() -> None:
    """A file without a telling name is read as what it holds."""
    for good, word in (("stations.pdf", "estuary"), ("travel.docx", "Trips"), ("boats.html", "radio")):
        reading = parse("download", (DOCUMENTS / "good" / good).read_bytes(), UNPACKED_BYTES)
        assert word in str(reading.sections)
    assert parse("README", b"Read me.", UNPACKED_BYTES).sections[0].blocks == ("Read me.",)


def test_word_with_tracked_changes_and_merged_cells() -> None:
    """Inserted text counts and deleted text does not; a covered cell is empty; a frame of one cell is no table."""
    document = docx.Document()
    paragraph = document.add_paragraph("Keys are kept ")
    for tag, inner, text in (("w:del", "w:delText", "in the boat."), ("w:ins", "w:t", "in the house.")):
        change, run, said = OxmlElement(tag), OxmlElement("w:r"), OxmlElement(inner)
        said.text = text
        run.append(said)
        change.append(run)
        paragraph._p.append(change)
    table = document.add_table(rows=3, cols=2)
    for row, cells in zip(table.rows, (("Station", "Key"), ("North", "K-1"), ("", "K-2")), strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    table.cell(1, 0).merge(table.cell(2, 0))
    frame = document.add_table(rows=1, cols=1)
    frame.cell(0, 0).text = "Framed."
    saved = io.BytesIO()
    document.save(saved)
    (section,) = parse("a.docx", saved.getvalue(), UNPACKED_BYTES).sections
    assert section.blocks == (
        "Keys are kept in the house.",
        "| Station | Key |\n| --- | --- |\n| North | K-1 |\n|  | K-2 |",
        "Framed.",
    )
