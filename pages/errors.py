"""What each error says, out of the places where it is raised."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from contract.errors import FennelError, error_code_of
from pages.causes import prompt_too_long, redis_unusable
from pages.sentences import modules, sentences_of

ROOT = FennelError.__name__
CAUSES = {"prompt-too-long": prompt_too_long, "redis-unusable": redis_unusable}
"""Of errors that only take over what their cause says: all that it may say."""


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
def error_classes() -> list[ErrorClass]:
    """The root and everything that grows from it, parents first."""
    bases = {
        (node.name, file): node.bases[0].id
        for file, module in modules()
        for node in ast.walk(module)
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
        for called, of_class, call, within in _calls()
        if called in names or (called == "super().__init__" and of_class in names)
        for argument in call.args[:1]
        for sentence in sentences_of(argument, within)
    }
    said |= CAUSES.get(code, set)()
    return "\n".join(f"- `{sentence}`" for sentence in sorted(said))


@cache
def _calls() -> list[tuple[str, str, ast.Call, ast.AST]]:
    """All that may give an error its sentence: what is called, in which class, the call, the function it stands in.

    An error gets it where it is made, or makes it itself, in its class, out of what it is given.
    """
    return [call for _, module in modules() for call in _below(module, module, "")]


def _below(node: ast.AST, within: ast.AST, of_class: str) -> Iterator[tuple[str, str, ast.Call, ast.AST]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            # A choice of classes may make an error of each.
            for called in [child.func.body, child.func.orelse] if isinstance(child.func, ast.IfExp) else [child.func]:
                if isinstance(called, ast.Name):
                    yield called.id, of_class, child, within
            if isinstance(child.func, ast.Attribute) and child.func.attr == "__init__":
                yield ast.unparse(child.func), of_class, child, within
        inner = child if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else within
        yield from _below(child, inner, child.name if isinstance(child, ast.ClassDef) else of_class)
