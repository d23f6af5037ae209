"""Public names that no line of ``src`` uses are absent: what only tests use lives in tests/support."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import hyper
from tests.support.source import parsed

SOURCE = Path(hyper.__file__).parent
#: A limit that the guest alone holds to, named in src because docs/protocol.md names it; what aiohttp calls.
USED_ELSEWHERE = frozenset({"MAX_TREE_DEPTH", "feed_eof"})


def defined(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Public functions, classes and constants of a module, and methods of classes that inherit nothing."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node.lineno
        if isinstance(node, ast.ClassDef) and not node.bases:
            for item in node.body:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield item.name, item.lineno


def used(tree: ast.Module) -> Iterator[str]:
    """Names that a module reads, and words of its strings (tables of commands name what they import)."""
    documented = {id(text) for node in ast.walk(tree) if (text := _docstring(node)) is not None}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and id(node) not in documented:
            yield from re.findall(r"\w+", str(node.value))


def _docstring(node: ast.AST) -> ast.Constant | None:
    body = getattr(node, "body", None)
    if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
        value = body[0].value
        return value if isinstance(value, ast.Constant) else None
    return None


def dead() -> list[str]:
    """``file:line: name`` of each public name that nothing in ``src`` uses."""
    trees = {path: parsed(path.read_text()) for path in sorted(SOURCE.rglob("*.py"))}
    names = {name for tree in trees.values() for name in used(tree)} | USED_ELSEWHERE
    return [
        f"{path.relative_to(SOURCE)}:{line}: {name}"
        for path, tree in trees.items()
        for name, line in defined(tree)
        if not name.startswith("_") and name not in names
    ]


def test_no_public_name_is_unused() -> None:
    """Code that only tests run is code that nobody needs, and looks as if somebody did."""
    assert dead() == []
