"""Sentences that an error takes over from what caused it: where they are made, they stand in a call beside a mark."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pages.sentences import modules, sentences_of


def prompt_too_long() -> set[str]:
    """What engines and servers say beside the mark "too_long"."""
    return {
        sentence
        for _, arguments, above in _calls_with("too_long")
        for argument in arguments
        for sentence in sentences_of(argument, above)
    }


def redis_unusable() -> set[str]:
    """`Trouble(says, cure, False)`: what no waiting cures."""
    return {
        f"{says}: {cure}"
        for called, arguments, above in _calls_with(False)
        if called == "Trouble"
        for says in sentences_of(arguments[0], above)
        for cure in sentences_of(arguments[1], above)
    }


def _calls_with(mark: object) -> Iterator[tuple[str, list[ast.expr], ast.Module]]:
    """Every call with this constant among its arguments: what is called, the other ones, what was set above it."""
    for _, module in modules():
        for function in ast.walk(module):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for call in ast.walk(function):
                if not isinstance(call, ast.Call):
                    continue
                arguments = [*call.args, *(word.value for word in call.keywords)]
                others = [one for one in arguments if ast.unparse(one) != repr(mark)]
                if len(others) < len(arguments):
                    yield ast.unparse(call.func), others, _above(call, function)


def _above(call: ast.Call, function: ast.AST) -> ast.Module:
    """Each variable of the function as it was set last before the call."""
    sets = [one for one in ast.walk(function) if isinstance(one, ast.Assign) and one.lineno < call.lineno]
    last = {ast.unparse(one.targets[0]): one for one in sorted(sets, key=lambda one: one.lineno)}
    return ast.Module(list(last.values()), [])
