"""The tests' own rules, held by reading their sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.source import parsed

TESTS = Path(__file__).parents[1]


def imported(source: str) -> Iterator[str]:
    """Modules that a source imports anywhere in it, each with what is taken from it."""
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


def borrows(source: str) -> list[str]:
    """Imports of a source that reach into a test module or a ``conftest`` of tests."""
    return [
        name
        for name in imported(source)
        if any(
            part.startswith("test_") or part == "conftest"
            for part in name.removeprefix("tests.").split(".")[:-1]
        )
        or name.rpartition(".")[2].startswith("test_")
    ]


@pytest.mark.parametrize(
    ("line", "is_borrowed"),
    [
        ("from tests.vm.test_run import create", True),
        ("from tests.vm import test_run", True),
        ("import tests.vm.test_run", True),
        ("from .test_run import create", True),
        ("from tests.image.conftest import SHORT", True),
        ("def late():\n    from tests.vm.test_run import create", True),
        ("from tests.support.containers import create", False),
        ("import pytest", False),
    ],
)
def test_borrows_of_a_line_finds_test_modules(line: str, is_borrowed: bool) -> None:
    """The check sees each way in which Python imports a module."""
    assert bool(borrows(line)) is is_borrowed


def test_imports_of_test_modules_are_absent() -> None:
    """No file of tests imports from a test module: what several need lives in tests/support."""
    found = {
        str(path.relative_to(TESTS)): names
        for path in sorted(TESTS.rglob("*.py"))
        if (names := borrows(path.read_text()))
    }
    assert found == {}
