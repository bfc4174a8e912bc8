"""Where a document can be opened."""

from __future__ import annotations

import pytest

from workers.knowledge.address import address_rule, page_address
from workers.knowledge.document import KnowledgeError


@pytest.mark.parametrize(
    ("rule", "path", "url"),
    [
        ("", "a.md", ""),
        ("https://x.example/", "a/b.md", "https://x.example/a/b.md"),
        ("https://x.example/v?f={path}", "中 文.md", "https://x.example/v?f=%E4%B8%AD%20%E6%96%87.md"),
        ("https://x.example/{stem}", "a/b.tar.md", "https://x.example/a/b.tar"),
        ("https://x.example", '"><script>.md', "https://x.example/%22%3E%3Cscript%3E.md"),
    ],
)
def test_rules_for_urls(rule: str, path: str, url: str) -> None:
    """A path is appended or put in its place, and nothing in it can be more than a path."""
    assert address_rule(rule)(path) == url


@pytest.mark.parametrize("rule", ["javascript:alert(1)", "ftp://x.example", "https://", "https://x .example", "docs"])
def test_what_is_no_web_address_is_no_rule(rule: str) -> None:
    """A rule that gives no link of the web is refused."""
    with pytest.raises(KnowledgeError, match="is no web address"):
        address_rule(rule)


def test_a_pdf_is_opened_at_its_page() -> None:
    """The page stands behind a PDF's address, and behind no other one's."""
    assert page_address("https://x.example/a.pdf", 3) == "https://x.example/a.pdf#page=3"
    assert page_address("https://x.example/a.pptx", 3) == "https://x.example/a.pptx"
    assert page_address("https://x.example/a.pdf", 0) == "https://x.example/a.pdf"
