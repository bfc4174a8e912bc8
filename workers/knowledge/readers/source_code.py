"""Source code: a section for each definition, found by tree-sitter, which also reads code that is not finished."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import PurePath
from typing import NamedTuple

from tree_sitter import Language, Node, Parser

from workers.knowledge.document import Section
from workers.knowledge.encoding import decode
from workers.knowledge.reader import Reader, Reading


class Grammar(NamedTuple):
    """Where a language's grammar is, and what its code is called between fences."""

    module: str
    function: str
    fence: str


_C = Grammar("tree_sitter_c", "language", "c")
_CPP = Grammar("tree_sitter_cpp", "language", "cpp")
_JAVASCRIPT = Grammar("tree_sitter_javascript", "language", "js")
_TSX = Grammar("tree_sitter_typescript", "language_tsx", "tsx")
GRAMMARS = {
    ".py": Grammar("tree_sitter_python", "language", "python"),
    ".pyi": Grammar("tree_sitter_python", "language", "python"),
    ".js": _JAVASCRIPT,
    ".mjs": _JAVASCRIPT,
    ".cjs": _JAVASCRIPT,
    ".jsx": _JAVASCRIPT,
    ".ts": Grammar("tree_sitter_typescript", "language_typescript", "ts"),
    ".tsx": _TSX,
    ".go": Grammar("tree_sitter_go", "language", "go"),
    ".java": Grammar("tree_sitter_java", "language", "java"),
    ".c": _C,
    ".h": _CPP,
    ".cc": _CPP,
    ".cpp": _CPP,
    ".cxx": _CPP,
    ".hpp": _CPP,
    ".rs": Grammar("tree_sitter_rust", "language", "rust"),
    ".rb": Grammar("tree_sitter_ruby", "language", "ruby"),
    ".cs": Grammar("tree_sitter_c_sharp", "language", "csharp"),
    ".php": Grammar("tree_sitter_php", "language_php", "php"),
    ".sh": Grammar("tree_sitter_bash", "language", "sh"),
    ".bash": Grammar("tree_sitter_bash", "language", "sh"),
}
"""The languages, by the ends of their files' names."""

_FUNCTIONS = {
    "function_definition", "function_declaration", "generator_function_declaration", "function_item",
    "method_definition", "method_declaration", "constructor_declaration", "method", "singleton_method",
}  # fmt: skip
_CONTAINERS = {
    "class_definition", "class_declaration", "abstract_class_declaration", "class_specifier", "struct_specifier",
    "class", "module", "impl_item", "trait_item", "mod_item", "interface_declaration", "struct_declaration",
    "namespace_definition", "namespace_declaration", "internal_module", "trait_declaration", "enum_declaration",
    "record_declaration",
}  # fmt: skip
_OTHERS = {
    "struct_item", "enum_item", "type_item", "type_declaration", "type_alias_declaration", "enum_specifier",
    "union_specifier", "type_definition", "macro_definition", "delegate_declaration",
}  # fmt: skip
_WRAPPERS = {"decorated_definition", "export_statement", "template_declaration"}
_BODIES = {"block", "class_body", "declaration_list", "field_declaration_list", "interface_body", "enum_body",
           "body_statement", "statement_block", "object_type", "enum_member_declaration_list"}  # fmt: skip
_ARROWS = {"lexical_declaration", "variable_declaration"}
_COMMENTS = {"comment", "line_comment", "block_comment"}
_WHOLE_UP_TO_BYTES = 1_500
"""A class that is longer is cut into its methods."""


class SourceCodeReader(Reader):
    """Reads source code in the languages of GRAMMARS."""

    def read(self, content: bytes, name: str) -> Reading:
        """The title is the file's name; a heading is the path of names to a definition."""
        grammar = GRAMMARS[PurePath(name).suffix.lower()]
        code = decode(content).encode()
        tree = _parser(grammar).parse(code)
        sections = tuple(
            Section(path, (f"```{grammar.fence}\n{text}\n```",)) for path, text in _pieces(tree.root_node, code, (), 0)
        )
        return Reading(name, sections)


@cache
def _parser(grammar: Grammar) -> Parser:
    module = importlib.import_module(grammar.module)
    return Parser(Language(getattr(module, grammar.function)()))


def load(suffix: str) -> None:
    """Import a language's grammar now: where a stranger's file is read, nothing can be imported any more."""
    _parser(GRAMMARS[suffix])


def _pieces(parent: Node, code: bytes, path: tuple[str, ...], begin: int) -> Iterator[tuple[tuple[str, ...], str]]:
    """The definitions below a node, and what stands between them, in order; the text before them starts at `begin`."""
    at = begin
    for number, child in enumerate(parent.children):
        defined = _defined(child)
        if defined is None:
            continue
        start = max(at, _line_begin(code, _with_comments(parent.children, number)))
        if between := _text(code, at, start):
            yield path, between
        own = (*path, _name(defined, code))
        body = _body(defined)
        if defined.type in _CONTAINERS and body is not None and child.end_byte - start > _WHOLE_UP_TO_BYTES:
            yield from _pieces(body, code, own, start)
        else:
            yield own, _text(code, start, child.end_byte)
        at = child.end_byte
    if rest := _text(code, at, parent.end_byte):
        yield path, rest


def _defined(node: Node) -> Node | None:
    """The definition that a node is or wraps; None for anything else."""
    if node.type in _FUNCTIONS | _CONTAINERS | _OTHERS and (node.type != "class" or node.is_named):
        return node if node.is_named else None
    if node.type in _WRAPPERS:
        return next((found for child in node.children if (found := _defined(child)) is not None), None)
    if node.type in _ARROWS:
        values = [one.child_by_field_name("value") for one in node.children if one.type == "variable_declarator"]
        if any(value is not None and value.type in ("arrow_function", "function_expression") for value in values):
            return node
    return None


def _name(node: Node, code: bytes) -> str:
    """What a definition is called; C puts the name inside the declarators of its type."""
    at: Node | None = node
    while at is not None:
        named = at.child_by_field_name("name")
        if named is None and at.type == "impl_item":
            named = at.child_by_field_name("type")
        if named is not None:
            return _shown(named, code)
        deeper = at.child_by_field_name("declarator")
        if deeper is None:
            deeper = next((one for one in at.children if one.type in ("variable_declarator", "type_spec")), None)
        if deeper is None:
            break
        at = deeper
    return _shown(at, code) if at is not None and at is not node else node.type.replace("_", " ")


def _shown(node: Node, code: bytes) -> str:
    return " ".join(code[node.start_byte : node.end_byte].decode(errors="replace").split())[:120]


def _body(node: Node) -> Node | None:
    body = node.child_by_field_name("body")
    return body or next((child for child in node.children if child.type in _BODIES), None)


def _with_comments(children: Sequence[Node], number: int) -> int:
    """Where a definition begins, with the comments right above it."""
    begin = children[number]
    for before in reversed(children[:number]):
        if before.type not in _COMMENTS or begin.start_point.row - before.end_point.row > 1:
            break
        begin = before
    return begin.start_byte


def _line_begin(code: bytes, at: int) -> int:
    """The begin of the line, where nothing but indentation stands before."""
    begin = code.rfind(b"\n", 0, at) + 1
    return begin if not code[begin:at].strip() else at


def _text(code: bytes, begin: int, end: int) -> str:
    """A piece of code; empty where it holds no word."""
    text = code[begin:end].decode(errors="replace").strip("\n").rstrip()
    return text if any(character.isalnum() for character in text) else ""
