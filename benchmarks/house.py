"""How simple the code is: ``python -m benchmarks.house``; ``--before REV`` puts an older state of it beside.

Sizes are lines as they stand in the files. Two places are a pair where six lines or more are the same; imports,
comments and closing brackets do not count. A chain of imports counts what is imported when a module is, and not what
a function imports later.
"""

from __future__ import annotations

import argparse
import ast
import io
import itertools
import statistics
import subprocess
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.interfaces import as_markdown, interfaces
from benchmarks.report import print_table, write_results
from config.environment import CHECKOUT

CODE = ("bot", "cli", "config", "contract", "health", "workers")
GROUPS = {"code": CODE, "tests": ("tests",), "benchmarks": ("benchmarks",)}
PAIR_LINES = 6

Place = tuple[str, int]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class House:
    """All modules below a folder, by their paths in it."""

    root: Path
    trees: dict[str, ast.Module]
    lines: dict[str, int]

    @classmethod
    def read(cls, root: Path) -> House:
        """Read every module of ours; `tests/data` holds documents and no code."""
        names = [
            str(file.relative_to(root))
            for folders in GROUPS.values()
            for folder in folders
            for file in sorted((root / folder).rglob("*.py"))
        ]
        texts = {name: (root / name).read_text() for name in names if not name.startswith("tests/data/documents/")}
        trees = {name: ast.parse(text) for name, text in texts.items()}
        return cls(root, trees, {name: len(text.splitlines()) for name, text in texts.items()})

    def of(self, group: str) -> dict[str, ast.Module]:
        """The modules of one group, without those that are empty."""
        return {name: tree for name, tree in self.trees.items() if name.split("/")[0] in GROUPS[group] and tree.body}


def functions(tree: ast.Module) -> Iterator[Function]:
    """Every function and method, those inside others too."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def sizes(house: House, group: str) -> dict[str, Any]:
    """Number, median and longest of files and functions; a place is "file:line"."""
    files = {name: house.lines[name] for name in house.of(group)}
    made = {
        f"{name}:{one.lineno} {one.name}": (one.end_lineno or one.lineno) - one.lineno + 1
        for name, tree in house.of(group).items()
        for one in functions(tree)
    }
    return {
        "lines": sum(files.values()),
        **{f"files {key}": value for key, value in _spread(files, longer_than=300).items()},
        **{f"functions {key}": value for key, value in _spread(made, longer_than=50).items()},
    }


def _spread(lengths: dict[str, int], longer_than: int) -> dict[str, Any]:
    longest = max(lengths, key=lengths.__getitem__)
    return {
        "number": len(lengths),
        "median": round(statistics.median(lengths.values())),
        "longest": lengths[longest],
        "longest is": longest,
        f"longer than {longer_than}": sum(1 for length in lengths.values() if length > longer_than),
    }


def longest_chain(house: House) -> list[str]:
    """The longest way from a module down through what it imports. Raises ValueError where a way comes back."""
    modules = {_module(name): tree for name, tree in house.of("code").items()}
    below: dict[str, list[str]] = {}

    def way_down(module: str, above: tuple[str, ...]) -> list[str]:
        if module in above:
            raise ValueError(f"these import each other: {' -> '.join((*above[above.index(module) :], module))}")
        if module not in below:
            ways = [way_down(one, (*above, module)) for one in _imported(modules[module], modules)]
            below[module] = [module, *max(ways, key=len, default=[])]
        return below[module]

    return max((way_down(module, ()) for module in modules), key=len)


def _module(file: str) -> str:
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _imported(node: ast.AST, modules: Collection[str]) -> Iterator[str]:
    """Those of the modules that are imported together with this one; not what only type checkers read."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules)
    elif isinstance(node, ast.ImportFrom):
        named = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from {one if one in modules else str(node.module) for one in named} & set(modules)
    elif not isinstance(node, Function) and not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
        for inner in ast.iter_child_nodes(node):
            yield from _imported(inner, modules)


def duplicate_pairs(house: House) -> list[str]:
    """The pairs of places that share lines, the longest first, as "N lines: file:line, file:line"."""
    counted = {name: _counted_lines(house, name) for name in house.trees}
    places: dict[tuple[str, ...], list[Place]] = defaultdict(list)
    for name, lines in counted.items():
        for start in range(len(lines) - PAIR_LINES + 1):
            places[tuple(text for _, text in lines[start : start + PAIR_LINES])].append((name, start))
    same = {pair for where in places.values() for pair in itertools.combinations(where, 2) if not _overlap(*pair)}
    found = []
    for (name, start), (other, other_start) in same:
        if ((name, start - 1), (other, other_start - 1)) in same:
            continue
        length = PAIR_LINES
        while ((name, start + length - PAIR_LINES + 1), (other, other_start + length - PAIR_LINES + 1)) in same:
            length += 1
        where = f"{name}:{counted[name][start][0]}, {other}:{counted[other][other_start][0]}"
        found.append((-length, where))
    return [f"{-length} lines: {where}" for length, where in sorted(found)]


def _overlap(one: Place, other: Place) -> bool:
    return one[0] == other[0] and abs(one[1] - other[1]) < PAIR_LINES


def _counted_lines(house: House, name: str) -> list[tuple[int, str]]:
    """The lines that say something, with their numbers: no imports, comments or brackets that only close."""
    imports = [node for node in ast.walk(house.trees[name]) if isinstance(node, ast.Import | ast.ImportFrom)]
    passed = {line for node in imports for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    numbered = enumerate(map(str.strip, (house.root / name).read_text().splitlines()), 1)
    return [
        (number, text)
        for number, text in numbered
        if number not in passed and not text.startswith("#") and any(map(str.isalnum, text))
    ]


def with_sentence(house: House) -> tuple[int, int]:
    """How many tests say in a sentence what they hold, and how many there are."""
    tests = [one for tree in house.of("tests").values() for one in functions(tree) if one.name.startswith("test_")]
    return sum(1 for one in tests if ast.get_docstring(one)), len(tests)


def documented(house: House) -> tuple[int, int]:
    """How many public modules, classes, functions and methods say what they are, and how many there are."""
    public = [one for tree in house.of("code").values() for one in _public(tree)]
    return sum(1 for one in public if ast.get_docstring(one)), len(public)


def _public(node: ast.Module | ast.ClassDef | Function) -> Iterator[ast.Module | ast.ClassDef | Function]:
    yield node
    if not isinstance(node, Function):
        for inner in node.body:
            if isinstance(inner, ast.ClassDef | Function) and not inner.name.startswith("_"):
                yield from _public(inner)


def measure(root: Path) -> dict[str, Any]:
    """All figures of one state of the code."""
    house = House.read(root)
    chain = longest_chain(house)
    pairs = duplicate_pairs(house)
    return {
        **{f"{group}: {key}": value for group in GROUPS for key, value in sizes(house, group).items()},
        "longest import chain": len(chain),
        "longest import chain is": " → ".join(chain),
        "duplicate pairs": len(pairs),
        "duplicate pairs are": pairs,
        "tests with a sentence": "{} of {}".format(*with_sentence(house)),
        "documented public names": "{} of {}".format(*documented(house)),
        "interfaces": [one.row() for one in interfaces(house.trees)],
    }


def measure_revision(revision: str) -> dict[str, Any]:
    """The figures of an older state. Raises subprocess.CalledProcessError where this clone does not hold it."""
    packed = subprocess.run(["git", "archive", revision], cwd=CHECKOUT, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="fennel-house-") as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        return measure(Path(folder))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", metavar="REV", help="a commit to compare with")
    before = parser.parse_args().before
    states = {"before": measure_revision(before)} if before else {}
    states["now"] = measure(CHECKOUT)
    shown = [key for key, value in states["now"].items() if isinstance(value, int) or " of " in str(value)]
    print_table(
        "The house", ["", *states], [[key, *(state.get(key, "") for state in states.values())] for key in shown]
    )
    print(as_markdown(interfaces(House.read(CHECKOUT).trees)))
    for pair in states["now"]["duplicate pairs are"]:
        print(pair)
    write_results("house", states)


if __name__ == "__main__":
    main()
