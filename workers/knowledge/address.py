"""Addresses: where people open a document, made of where it stands by a rule."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable
from pathlib import PurePosixPath

from workers.knowledge.document import KnowledgeError

_PLACES = re.compile(r"\{(path|stem)\}")


def address_rule(base_url: str) -> Callable[[str], str]:
    """The function from a document's path below its folder to its URL; an empty rule gives empty URLs.

    `{path}` in the rule stands for the path, `{stem}` for the path without its suffix; without either the path is
    appended. Raises KnowledgeError for a rule that gives no link to the web.
    """
    if not base_url:
        return lambda _: ""
    parts = urllib.parse.urlsplit(base_url)
    if parts.scheme not in ("https", "http") or not parts.netloc or any(map(str.isspace, base_url)):
        raise KnowledgeError(f"--base-url {base_url} is no web address: it begins with https:// and holds no space")
    rule = base_url if _PLACES.search(base_url) else f"{base_url.rstrip('/')}/{{path}}"

    def address(path: str) -> str:
        stem = str(PurePosixPath(path).with_suffix(""))
        said = {"path": path, "stem": stem}
        return _PLACES.sub(lambda match: urllib.parse.quote(said[match.group(1)], safe="/"), rule)

    return address


def page_address(url: str, page: int) -> str:
    """The URL of a page of a document: browsers open a PDF at the page that stands behind its address."""
    is_pdf = urllib.parse.urlsplit(url).path.lower().endswith(".pdf")
    return f"{url}#page={page}" if page and is_pdf and "#" not in url else url
