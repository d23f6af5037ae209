"""Docstrings name what they are about: no first sentence begins with a word that leans on another docstring."""

from __future__ import annotations

import ast
from pathlib import Path

import hyper
from tests.support.source import parsed

SOURCE = Path(hyper.__file__).parent
#: Words that stand for a noun which the reader would have to look for.
LEANING = frozenset(
    "it its it's that those they their them the_same who whose whoever somebody someone nobody what as".split()
)


def first_word(docstring: str) -> str:
    """The first word in lower case; ``the_same`` for these two."""
    words = docstring.replace(",", " ").replace(":", " ").replace(".", " ").split()[:2]
    lowered = [word.lower() for word in words]
    return "the_same" if lowered == ["the", "same"] else lowered[0] if lowered else ""


def leaning() -> list[str]:
    """``file:line: first line`` of each docstring that begins with one of these words."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(parsed(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text and first_word(text) in LEANING:
                    line = getattr(node, "lineno", 1)
                    found.append(f"{path.relative_to(SOURCE)}:{line}: {text.splitlines()[0]}")
    return found


def test_no_docstring_begins_with_a_pronoun() -> None:
    """Whoever searches for a concept finds the place, and reads it without its neighbours."""
    assert leaning() == []
