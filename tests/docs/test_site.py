"""The documentation as a site: it is made without a warning and without a network, and asks no other host."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from config.environment import CHECKOUT
from pages.site import SCRIPTS, _script
from tests.docs.pages import FENCE, pages

# What runs mkdocs: whoever connects anywhere is refused.
OFFLINE = """
import socket, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        raise OSError(f"the documentation asks for the network: {event} {arguments}")
sys.addaudithook(refuse)
from mkdocs.__main__ import cli
cli(["build", "--strict", "--site-dir", sys.argv[1]])
"""
# In which tags an address is loaded, and not only offered to a person to click on.
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
LINKS_ONLY = ("canonical", "next", "prev", "alternate")


class Page(HTMLParser):
    """What a page loads, links to, and can be linked at."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the addresses in the tag."""
        found = {name: value or "" for name, value in attrs}
        self.ids.add(found.get("id", ""))
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in LOADED and found.get("rel") not in LINKS_ONLY and LOADED[tag] in found:
            self.loaded.append(found[LOADED[tag]])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, made without a network and with every warning an error."""
    for script in SCRIPTS.values():
        _script(script)  # fetched once, as the packages are
    folder = tmp_path_factory.mktemp("site")
    run = subprocess.run(
        [sys.executable, "-c", OFFLINE, folder], cwd=CHECKOUT, capture_output=True, text=True, timeout=100
    )
    assert run.returncode == 0, run.stderr
    assert "WARNING" not in run.stderr
    return folder


def test_every_page_is_in_the_navigation() -> None:
    """A page that nobody finds is not there: each file in docs/ is named in mkdocs.yml."""
    navigation = (CHECKOUT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    named = set(re.findall(r"[\w.-]+\.md", navigation))

    assert {page.name for page in (CHECKOUT / "docs").glob("*.md")} - named == set()


def test_the_site_asks_no_other_host(site: Path) -> None:
    """No page, script or style loads anything from elsewhere: no font, no script, no picture."""
    loaded = {address for file in site.rglob("*.html") for address in Page(file).loaded}
    fetched = {
        address
        for file in [*site.rglob("*.css"), *site.rglob("*.html")]
        for address in re.findall(r"(?:url\(|@import )[\"']?(https?:[^)\"']+|//[^)\"']+)", file.read_text())
    }
    hosts = re.compile(r"unpkg\.com|jsdelivr\.net|cdnjs|fonts\.(?:googleapis|gstatic)")
    own = [file for file in site.rglob("*.js") if file.name != "mermaid.js"]

    assert len(loaded) > 3
    assert {address for address in loaded if urlsplit(address).netloc} == set()
    assert fetched == set()
    assert [file.name for file in [*own, *site.rglob("*.html")] if hosts.search(file.read_text())] == []


def test_what_draws_the_diagrams_is_in_the_site(site: Path) -> None:
    """A page with a diagram loads Mermaid from the site, where it is, before the theme would ask for it."""
    for page in (site / "index.html", site / "architecture.html"):
        scripts = [address for address in Page(page).loaded if address.endswith(".js")]
        assert "assets/mermaid.js" in scripts
        assert (site / "assets/mermaid.js").stat().st_size > 1_000_000
    assert '<pre class="mermaid">' in (site / "index.html").read_text()


def test_every_link_leads_somewhere(site: Path) -> None:
    """Each link between the pages, to a heading too, and to the files they name, is there."""
    pages = {file: Page(file) for file in site.rglob("*.html")}
    broken = []
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or file.name == "404.html":
                continue
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in pages[target].ids):
                broken.append((file.name, link))

    assert sum(len(page.links) for page in pages.values()) > 500
    assert broken == []


def test_lists_and_tables_are_shown_as_such(site: Path) -> None:
    """No row without a head and no step that is indented by too little is left as it was typed."""
    code = re.compile(r"<(pre|code|h[1-6])\b.*?</\1>", re.DOTALL)
    typed = re.compile(r"\n(?:<p>)?((?:\d+\. |- |\|).{0,60})")
    left = [
        (file.name, found)
        for file in site.rglob("*.html")
        for article in re.findall(r"<article.*?</article>", file.read_text(), re.DOTALL)
        for found in typed.findall(code.sub("", article))
    ]

    assert left == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_what_belongs_to_a_step_stands_below_it(page: Path) -> None:
    """A block in a list is indented by four: by less, the site ends the list there and counts from 1 again."""
    text = page.read_text()
    shallow = re.compile(r"^ {1,3}(?:[-*] |\d+\. |\|).*|(?<=\n\n) {1,3}\S.*", re.MULTILINE)

    assert [found[0] for found in FENCE.finditer(text) if len(found["indent"]) in (1, 2, 3)] == []
    assert shallow.findall(FENCE.sub("", text)) == []


def test_the_diagrams_of_all_pages_are_mermaid() -> None:
    """A diagram is text that a change can be made to; a picture is only what a program has drawn."""
    pictures = {file.suffix for file in (CHECKOUT / "docs").rglob("*") if file.is_file()}

    assert pictures <= {".md", ".svg"}
