"""What mkdocs does for us beyond reading `docs/`: hooks that mkdocs.yml names.

The quick start is the README, files outside `docs/` that a page links to come along, and what draws the diagrams is
served from the site itself.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel

CHECKOUT = Path(__file__).resolve().parent.parent
START_PAGES = {"README.md": "index.md", "README.zh.md": "index.zh.md"}
DECISIONS = "adr"
OUTSIDE = "files"
"""The site's folder for what stands outside `docs/`."""
NODE = CHECKOUT / "pages" / "node"
SCRIPTS = {
    "assets/mermaid.js": "@mermaid-js/tiny/dist/mermaid.tiny.js",  # draws the diagrams
    "assets/iframe-worker.js": "iframe-worker/shim/index.js",  # the search, in a page that no server gives out
}
"""What the site brings along for the reader's browser, and where that is in `node_modules`."""
SHIM = "https://unpkg.com/iframe-worker/shim"
LINK = re.compile(r"(?P<before>\]\()(?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
# What the theme's scripts would fetch from elsewhere if the page had not brought its own.
ELSEWHERE = re.compile(r"https://unpkg\.com/[\w@./-]+")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the decisions that are in their folder."""
    folder = Path(config.docs_dir) / DECISIONS
    for part in config.nav or []:
        for entry in next(iter(part.values())):
            if isinstance(entry, dict) and DECISIONS in entry.values():
                (name,) = entry
                records = [f"{DECISIONS}/{file.name}" for file in sorted(folder.glob("0*.md"))]
                entry[name] = [f"{DECISIONS}/README.md", *records]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the start pages, what pages link to outside `docs/`, and Mermaid."""
    for readme, page in START_PAGES.items():
        files.append(File.generated(config, page, content=(CHECKOUT / readme).read_text(encoding="utf-8")))
    for path, script in SCRIPTS.items():
        files.append(File.generated(config, path, content=_script(script)))
    waiting = list(files.documentation_pages())
    while waiting:
        file = waiting.pop()
        for target in _targets(file):
            site_path = _site_path(target)
            if files.get_file_from_path(site_path) is not None or not (CHECKOUT / target).is_file():
                continue
            content = (CHECKOUT / target).read_text(encoding="utf-8")
            added = File.generated(config, site_path, content=content, inclusion=InclusionLevel.NOT_IN_NAV)
            files.append(added)
            if site_path.endswith(".md"):
                waiting.append(added)
    return files


def on_page_markdown(markdown: str, page: object, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 -- mkdocs names them
    """Turn links that hold in the checkout into links that hold in the site."""
    file: File = page.file  # type: ignore[attr-defined]

    def turned(link: re.Match[str]) -> str:
        target = _in_checkout(file, link["target"])
        path = posixpath.relpath(_site_path(target), posixpath.dirname(file.src_uri) or ".")
        return f"{link['before']}{path}{link['anchor'] or ''})"

    parts = re.split(f"({FENCE.pattern})", markdown, flags=FENCE.flags)
    return "".join(part if part.startswith("```") else LINK.sub(turned, part) for part in parts)


def on_post_page(output: str, page: object, config: MkDocsConfig) -> str:  # noqa: ARG001 -- mkdocs names them
    """Have the search's shim come from the site."""
    file: File = page.file  # type: ignore[attr-defined]
    return output.replace(SHIM, posixpath.relpath("assets/iframe-worker.js", posixpath.dirname(file.url) or "."))


def on_post_build(config: MkDocsConfig) -> None:
    """Take the addresses of other hosts out of what the theme brings, and its maps for debuggers with them."""
    site = Path(config.site_dir)
    for script in site.rglob("*.js"):
        text = script.read_text(encoding="utf-8")
        if ELSEWHERE.search(text):
            script.write_text(ELSEWHERE.sub("about:blank", text), encoding="utf-8")
    for debugging in site.rglob("*.map"):
        debugging.unlink()
    not_found = site / "404.html"
    not_found.write_text(not_found.read_text(encoding="utf-8").replace(SHIM, "/assets/iframe-worker.js"), "utf-8")


def _targets(file: File) -> set[str]:
    """The files in the checkout that a page links to."""
    text = FENCE.sub("", file.content_string)
    return {_in_checkout(file, link["target"]) for link in LINK.finditer(text)}


def _in_checkout(file: File, target: str) -> str:
    """Where a page's link leads, seen from the checkout's root."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(_source(file.src_uri)), target))


def _source(src_uri: str) -> str:
    """Where a page of the site stands in the checkout."""
    for readme, page in START_PAGES.items():
        if src_uri == page:
            return readme
    path = PurePosixPath(src_uri)
    return str(path.relative_to(OUTSIDE)) if path.parts[0] == OUTSIDE else f"docs/{path}"


def _site_path(target: str) -> str:
    """Where a file of the checkout stands in the site."""
    if target in START_PAGES:
        return START_PAGES[target]
    path = PurePosixPath(target)
    return str(path.relative_to("docs")) if path.parts[0] == "docs" else f"{OUTSIDE}/{path}"


def _script(path: str) -> str:
    """One of the scripts, as the lock file pins it; fetched once. Raises PluginError."""
    file = NODE / "node_modules" / path
    if not file.is_file():
        try:
            command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            subprocess.run(command, cwd=NODE, check=True, timeout=300)
        except (OSError, subprocess.SubprocessError) as error:
            raise PluginError(
                f"what draws the diagrams cannot be fetched ({error}): npm is wanted, and a network for the first time"
            ) from error
    return file.read_text(encoding="utf-8")
