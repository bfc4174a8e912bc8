"""The documents of tests/data, and what is said of the bad ones."""

from __future__ import annotations

from config.environment import CHECKOUT

DOCUMENTS = CHECKOUT / "tests" / "data" / "documents"
UNPACKED_BYTES = 200_000_000
REASONS = {
    "binary.txt": "is binary, not text",
    "bomb.docx": "unpacks to 250 MB in 17 parts, more than is allowed (200 MB, ten times knowledge.max_file_mb)",
    "broken.docx": "is damaged: its package cannot be opened",
    "broken.pdf": "is a damaged PDF (Failed to load document (PDFium: Data format error).)",
    "empty.md": "is empty",
    "encrypted.docx": "is encrypted: save it without a password",
    "encrypted.pdf": "is encrypted: save it without a password",
    "latin.txt": "is neither UTF-8 nor GB 18030 text",
    "notebook.ipynb": "is no Jupyter notebook: it is not JSON",
    "old.doc": "is of the Office format before 2007: save it as .docx",
    "page.csv": "is called .csv but is HTML: give it the right name",
    "pairs.jsonl": "line 2 is no object with a question and an answer",
    "picture.pdf": "is called .pdf but is a file of the kind .png",
    "report.docx": "is called .docx but is a PDF: give it the right name",
    "scanned.pdf": "is scanned: its pages are pictures without text; run it through text recognition (OCR)",
}
