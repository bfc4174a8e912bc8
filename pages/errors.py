"""What each error says, out of the places where it is raised."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from config.environment import CHECKOUT
from contract.errors import FennelError, error_code_of
from pages.metrics import PACKAGES

ROOT = FennelError.__name__


@dataclass(frozen=True)
class ErrorClass:
    """One class of errors as the source has it. `code` is what `docs/errors.md` lists it by."""

    name: str
    parent: str
    file: Path

    @property
    def code(self) -> str:
        """The class's own `error_code`."""
        return FennelError.error_code if self.name == ROOT else error_code_of(self.name)


@cache
def _nodes() -> list[tuple[Path, ast.ClassDef | ast.Raise]]:
    """The classes and the raised errors of all programs, with their files; each file is parsed once."""
    return [
        (file.relative_to(CHECKOUT), node)
        for package in PACKAGES
        for file in sorted((CHECKOUT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef | ast.Raise)
    ]


@cache
def error_classes() -> list[ErrorClass]:
    """The root and everything that grows from it, parents first."""
    bases = {
        (node.name, file): node.bases[0].id
        for file, node in _nodes()
        if isinstance(node, ast.ClassDef) and node.bases and isinstance(node.bases[0], ast.Name)
    }
    found = [ErrorClass(ROOT, "Exception", Path("contract/errors.py"))]
    for known in found:  # grows while it is walked
        found += [ErrorClass(name, base, file) for (name, file), base in sorted(bases.items()) if base == known.name]
    return found


def sentences(code: str) -> str:
    """What the errors of this code say, a line each; "…" stands for what differs."""
    names = {one.name for one in error_classes() if one.code == code}
    said = {
        sentence
        for _, node in _nodes()
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
        and node.exc.func.id in names
        for argument in node.exc.args[:1]
        if (sentence := _sentence(argument))
    }
    return "\n".join(f"- `{sentence}`" for sentence in sorted(said)) or "It says what its cause says."


def _sentence(argument: ast.expr) -> str:
    """The argument's own words; empty where it has none."""
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        text = argument.value
    elif isinstance(argument, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in argument.values)
    else:
        return ""
    return re.sub(r"\s+", " ", text).replace("`", "'").strip() if re.search(r"\w\w", text) else ""
