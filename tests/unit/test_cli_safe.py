"""Strangers' text for a terminal: no order is left in it, and nothing else is changed."""

from __future__ import annotations

import io

import pytest

from hyper.cli.columns import aligned
from hyper.cli.safe import SafeTerminal, cell, shown


@pytest.mark.parametrize(
    "code", [*range(9), *range(11, 32), *range(127, 160), 0x202E, 0x2066, 0x200F]
)
def test_no_control_is_left(code: int) -> None:
    """C0, DEL, C1 and what turns the direction; written so that nobody takes it for an order."""
    assert shown(f"a{chr(code)}b").isascii()
    assert shown(f"a{chr(code)}b").isprintable()
    assert cell(chr(code)) == shown(chr(code))


def test_everything_else_stays() -> None:
    """Letters of all kinds, tabs and newlines; in a cell of a table these are written out, too."""
    text = "grün \t漢字\n€ 😀 …"
    assert shown(text) == text
    assert cell(text) == "grün \\t漢字\\n€ 😀 …"
    assert aligned([["a\x1b", "b\nc"]], least=0) == "a\\x1b   b\\nc\n"


def test_a_terminal_takes_orders_from_us_only() -> None:
    """What is painted arrives, what is written is shown; a caller hears of all characters it wrote."""
    raw = io.BytesIO()
    terminal = SafeTerminal(raw, encoding="utf-8")
    assert terminal.write("\x1b[2J") == 4
    terminal.paint("\x1b[H")
    terminal.flush()
    assert raw.getvalue() == b"\\x1b[2J\x1b[H"
