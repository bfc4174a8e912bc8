"""Sentences in the source: the words of an expression, or of what it takes them from."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from config.environment import CHECKOUT
from pages.metrics import PACKAGES

Function = ast.FunctionDef | ast.AsyncFunctionDef
_DEPTH = 3  # an expression, a name in it, what that is set to


@cache
def modules() -> list[tuple[Path, ast.Module]]:
    """All modules of all programs with their files; each is parsed once."""
    return [
        (file.relative_to(CHECKOUT), ast.parse(file.read_text(encoding="utf-8")))
        for package in PACKAGES
        for file in sorted((CHECKOUT / package).rglob("*.py"))
    ]


def sentences_of(expression: ast.expr, within: ast.AST, depth: int = _DEPTH) -> set[str]:
    """The sentences that an expression within a function or a module may be; "…" stands for what differs.

    A choice may be each of its sides, a name what it is set to, a call what the function returns.
    """
    if own := _words(expression, within):
        return {own}
    if not depth:
        return set()
    taken: Iterable[tuple[ast.expr, ast.AST]] = ()
    if isinstance(expression, ast.IfExp):
        taken = [(expression.body, within), (expression.orelse, within)]
    elif isinstance(expression, ast.BoolOp):
        taken = [(value, within) for value in expression.values]
    elif isinstance(expression, ast.Name):
        taken = _set_to(expression.id, within)
    elif isinstance(expression, ast.Call):
        taken = _returned_by(expression.func, within)
    return {one for source, scope in taken for one in sentences_of(source, scope, depth - 1)}


def _set_to(name: str, within: ast.AST) -> list[tuple[ast.expr, ast.AST]]:
    """What a function sets a variable to, or a module a constant."""
    scopes = [module for _, module in modules()] if name.isupper() else [within]
    return [
        (node.value, scope)
        for scope in scopes
        for node in (scope.body if isinstance(scope, ast.Module) else ast.walk(scope))
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == name for target in node.targets)
    ]


def _returned_by(called: ast.expr, within: ast.AST) -> list[tuple[ast.expr, ast.AST]]:
    """What the called function may return, or the text whose method is called."""
    if isinstance(called, ast.Attribute) and not ast.unparse(called).startswith("self."):
        return [(called.value, within)]
    name = ast.unparse(called).removeprefix("self.")
    home = _functions()[within] if isinstance(within, Function) else within
    return [
        (node.value, function)
        for function, module in _functions().items()
        if function.name == name and (module is home or not name.startswith("_"))
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and node.value is not None
    ]


@cache
def _functions() -> dict[Function, ast.Module]:
    """Each function and the module it stands in."""
    return {node: module for _, module in modules() for node in ast.walk(module) if isinstance(node, Function)}


def _words(expression: ast.expr, within: ast.AST) -> str:
    """The expression's own words; empty where it has none."""
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        text = expression.value
    elif isinstance(expression, ast.JoinedStr):
        text = "".join(_part(part, within) for part in expression.values)
    else:
        return ""
    return re.sub(r"\s+", " ", text).replace("`", "'").strip() if re.search(r"\w\w", text) else ""


def _part(part: ast.expr, within: ast.AST) -> str:
    """A part of a text: its own words, or those of a variable that is set once."""
    if isinstance(part, ast.Constant):
        return str(part.value)
    if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name):
        texts = _set_to(part.value.id, within)
        if len(texts) == 1:
            return _words(*texts[0]) or "…"
    return "…"
