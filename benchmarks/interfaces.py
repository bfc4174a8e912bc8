"""The interfaces of the code, and the sizes of what stands behind them: a wide interface shows in its long fakes."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

HARMLESS = frozenset({"ConsolePlatform", "EchoEngine", "SerialDecoder", "TextReader", "LineScreen"})
"""Implementations in the program that reach nothing outside it; the other fakes stand in `tests/`."""


@dataclass(frozen=True)
class Interface:
    """An abstract class or a protocol, and the classes that are one: by name, with the lines of each class."""

    COLUMNS: ClassVar = ("interface", "file", "members", "lines", "real", "fake or harmless")

    name: str
    file: str
    members: int
    lines: int
    real: Mapping[str, int]
    harmless: Mapping[str, int]

    def row(self) -> dict[str, str]:
        """The columns of a table."""
        size = (str(self.members), str(self.lines))
        cells = (self.name, self.file, *size, _listed(self.real), _listed(self.harmless))
        return dict(zip(self.COLUMNS, cells, strict=True))


def interfaces(trees: Mapping[str, ast.Module]) -> list[Interface]:
    """The interfaces of the program, in the order of their files; `trees` are modules by their paths."""
    classes = [(file, node) for file, tree in trees.items() for node in tree.body if isinstance(node, ast.ClassDef)]
    found = []
    for file, node in classes:
        kind = {"ABC", "Protocol"} & _bases(node)
        if not kind or file.startswith(("tests/", "benchmarks/")):
            continue
        ours = [
            (other_file, other)
            for other_file, other in classes
            if other is not node and (_fits(node, other) if "Protocol" in kind else node.name in _bases(other))
        ]
        harmless = {
            other.name: _lines(other)
            for other_file, other in ours
            if other.name in HARMLESS or other_file.startswith(("tests/", "benchmarks/"))
        }
        real = {other.name: _lines(other) for _, other in ours if other.name not in harmless}
        found.append(Interface(node.name, file, len(dict(_members(node))), _lines(node), real, harmless))
    return found


def as_markdown(found: Sequence[Interface]) -> str:
    """The table for `docs/architecture.md`."""
    rows = [Interface.COLUMNS, ["---"] * len(Interface.COLUMNS), *(one.row().values() for one in found)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _bases(node: ast.ClassDef) -> set[str]:
    return {base.id for base in node.bases if isinstance(base, ast.Name)}


def _lines(node: ast.ClassDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _members(node: ast.ClassDef) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The public names of a class, those of a method with its arguments' names."""
    for one in node.body:
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and not one.name.startswith("_"):
            yield one.name, tuple(argument.arg for argument in one.args.args)
        elif isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and not one.target.id.startswith("_"):
            yield one.target.id, ("self",)


def _fits(protocol: ast.ClassDef, other: ast.ClassDef) -> bool:
    """Whether a class has all that a protocol wants, under the same names."""
    return set(_members(protocol)) <= set(_members(other))


def _listed(classes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {lines}" for name, lines in classes.items()) or "–"
