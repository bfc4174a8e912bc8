"""``python -m tests.data.documents.make``: make the small documents that the readers are tested on.

They belong to an invented firm that looks after tide gauges. The files are committed, so that tests need neither
ReportLab nor python-docx; run this after a change here, and commit what it writes.
"""

from __future__ import annotations

import io
import json
import zipfile
from datetime import datetime
from pathlib import Path

from docx import Document as WordDocument
from PIL import Image
from pptx import Presentation
from pptx.util import Inches
from reportlab.lib.pagesizes import A5
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle
from xlsxwriter import Workbook

FOLDER = Path(__file__).parent
GOOD = FOLDER / "good"
BAD = FOLDER / "bad"
LONG = (
    "A gauge is a steel tube with a float in it, and the float hangs on a wire that turns a wheel. "
    "The wheel's angle is read every six minutes and sent to the shore over a radio link. "
)


class Outlined(SimpleDocTemplate):  # type: ignore[misc]  # ReportLab is not typed
    """Makes an outline entry of each heading."""

    def afterFlowable(self, flowable: object) -> None:  # noqa: N802 -- ReportLab names it
        """Called by ReportLab for each thing that it has placed."""
        level = {"Heading1": 0, "Heading2": 1}.get(getattr(getattr(flowable, "style", None), "name", ""))
        if level is not None and isinstance(flowable, Paragraph):
            text = flowable.getPlainText()
            self.canv.bookmarkPage(text)
            self.canv.addOutlineEntry(text, text, level)


def _footer(canvas: Canvas, _: object) -> None:
    canvas.setFont("Helvetica", 8)
    canvas.drawString(40, 20, f"Saltmarsh Instruments, page {canvas.getPageNumber()}")


def pdf() -> None:
    """Three pages with an outline, a table, a sentence that goes over a page's end, and a footer on each page."""
    styles = getSampleStyleSheet()
    table = Table([["Station", "Depth", "Keeper"], ["North pier", "4.2 m", "Ines Ortega"], ["Old lock", "", "Bo Lind"]])
    table.setStyle(TableStyle([("GRID", (0, 0), (-1, -1), 0.5, "black")]))
    body = styles["BodyText"]
    story = [
        Paragraph("Gauge stations", styles["Heading1"]),
        Paragraph("Where they are", styles["Heading2"]),
        Paragraph("The stations stand on the estuary's north bank. Each has a keeper who holds its key.", body),
        Spacer(1, 12),
        table,
        PageBreak(),
        Paragraph("How they work", styles["Heading2"]),
        *[Paragraph(LONG * 3, body) for _ in range(5)],
        Paragraph("Cleaning", styles["Heading2"]),
        Paragraph("The float chamber is rinsed with fresh water on the first Monday of each month.", body),
    ]
    Outlined(str(GOOD / "stations.pdf"), pagesize=A5, title="Gauge stations", invariant=1).build(
        story, onFirstPage=_footer, onLaterPages=_footer
    )


def chinese_pdf() -> None:
    """One page of Chinese, its lines broken inside a sentence as layout does."""
    pdfmetrics.registerFont(UnicodeCIDFont("STSong-Light"))
    canvas = Canvas(str(GOOD / "zhandian.pdf"), pagesize=A5, invariant=1)
    canvas.setTitle("站点巡检")
    canvas.setFont("STSong-Light", 12)
    for line, text in enumerate(
        ("每个站点每月巡检一次，由负责该站点的", "同事带上钥匙和备用电池。", "巡检后当天填写记录。")
    ):
        canvas.drawString(40, 500 - 16 * line, text)
    canvas.save()


def word() -> None:
    """Headings, a list, a table, and text inserted under tracked changes."""
    document = WordDocument()
    document.add_heading("Travel policy", 0)
    document.add_paragraph("Trips are booked by the office.")
    document.add_heading("Trains", 1)
    for text in ("Second class up to four hours.", "First class beyond that."):
        document.add_paragraph(text, style="List Bullet")
    document.add_heading("Daily allowance", 2)
    table = document.add_table(rows=3, cols=2)
    for row, cells in zip(table.rows, (("Country", "A day"), ("Norway", "70 EUR"), ("中国", "90 元")), strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    document.save(str(GOOD / "travel.docx"))


def slides() -> None:
    """A title, a list of two levels, a table, and the speaker's notes."""
    presentation = Presentation()
    first = presentation.slides.add_slide(presentation.slide_layouts[1])
    first.shapes.title.text = "Storm season"
    frame = first.placeholders[1].text_frame
    frame.text = "Double the readings"
    inner = frame.add_paragraph()
    inner.text, inner.level = "Every three minutes", 1
    first.notes_slide.notes_text_frame.text = "Say who is on call in October."
    second = presentation.slides.add_slide(presentation.slide_layouts[5])
    second.shapes.title.text = "Who to call"
    table = second.shapes.add_table(2, 2, Inches(1), Inches(2), Inches(6), Inches(1)).table
    for row, cells in enumerate((("Sea state", "Number"), ("Above 6", "0118 496 0001"))):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text
    presentation.save(str(GOOD / "storms.pptx"))


def sheets() -> None:
    """Two sheets: a table with numbers and a date, and a list of questions with their answers; a hidden one."""
    workbook = Workbook(str(GOOD / "spares.xlsx"))
    parts = workbook.add_worksheet("Parts")
    day = workbook.add_format({"num_format": "yyyy-mm-dd"})
    parts.write_row(0, 0, ("Part", "Stock", "Price EUR", "Counted"))
    parts.write_row(1, 0, ("Float", 12, 38.5))
    parts.write_datetime(1, 3, datetime(2026, 3, 1), day)
    parts.write_row(2, 0, ("Wire | 5 m", 40, 9))
    parts.write_formula(3, 1, "=SUM(B2:B3)", None, 52)
    questions = workbook.add_worksheet("常见问题")
    questions.write_row(0, 0, ("问题", "答案"))
    questions.write_row(1, 0, ("备件放在哪里？", "放在二号仓库的蓝色架子上。"))
    hidden = workbook.add_worksheet("Old")
    hidden.write(0, 0, "secret")
    hidden.hide()
    workbook.close()


def notebook() -> None:
    """A text cell, a code cell with what it printed, and a picture."""
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Drift of the north pier\n\n", "Drift is 2 mm a year."]},
        {
            "cell_type": "code", "execution_count": 1, "metadata": {}, "source": ["print(drift_mm(2026))"],
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["2.1\n"]},
                {"output_type": "display_data", "metadata": {}, "data": {"image/png": "iVBORw0KGgo="}},
            ],
        },
    ]  # fmt: skip
    metadata = {"language_info": {"name": "python"}}
    whole = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (GOOD / "drift.ipynb").write_text(json.dumps(whole, indent=1) + "\n")


def bad() -> None:
    """One file for each reason why a file is not read."""
    picture = io.BytesIO()
    Image.new("L", (32, 32), 128).save(picture, "PNG")
    (BAD / "picture.pdf").write_bytes(picture.getvalue())
    scan = Canvas(str(BAD / "scanned.pdf"), pagesize=A5, invariant=1)
    scan.drawInlineImage(Image.new("L", (32, 32), 200), 0, 0, 400, 500)
    scan.save()
    lock = StandardEncryption("open sesame", canPrint=0)
    locked = Canvas(str(BAD / "encrypted.pdf"), pagesize=A5, encrypt=lock)
    locked.drawString(40, 400, "secret")
    locked.save()
    (BAD / "broken.pdf").write_bytes(b"%PDF-1.4\nthe rest of it was lost on the way")
    word_file = (GOOD / "travel.docx").read_bytes()
    (BAD / "broken.docx").write_bytes(word_file[: len(word_file) // 2])
    (BAD / "report.docx").write_bytes((GOOD / "stations.pdf").read_bytes())
    (BAD / "page.csv").write_text("<!doctype html>\n<html><body><p>Please sign in.</p></body></html>\n")
    # The head of the container that Office encrypts into, with the name of the stream that it keeps the document in.
    container = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1016) + "EncryptedPackage".encode("utf-16-le")
    (BAD / "encrypted.docx").write_bytes(container.ljust(2048, b"\0"))
    (BAD / "old.doc").write_bytes((b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(1016)).ljust(2048, b"\0"))
    with zipfile.ZipFile(BAD / "bomb.docx", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as bomb:
        for name in zipfile.ZipFile(GOOD / "travel.docx").namelist():
            if name != "word/document.xml":
                bomb.writestr(name, b"<a/>")
        with bomb.open("word/document.xml", "w", force_zip64=True) as inside:
            for _ in range(250):
                inside.write(bytes(1_000_000))
    (BAD / "pairs.jsonl").write_text('{"question": "Where?", "answer": "Here."}\n{"question": "When?"}\n')
    (BAD / "notebook.ipynb").write_text("this is no notebook\n")
    (BAD / "latin.txt").write_bytes("Müller fährt über die Brücke, schön für ihn".encode("latin-1"))
    (BAD / "empty.md").write_bytes(b"")
    (BAD / "binary.txt").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(57))


if __name__ == "__main__":
    for folder in (GOOD, BAD):
        folder.mkdir(exist_ok=True)
    for make in (pdf, chinese_pdf, word, slides, sheets, notebook, bad):
        make()
