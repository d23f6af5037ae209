"""Aligned columns, spaced as docker spaces them (scripts cut by them)."""

from __future__ import annotations

from hyper.cli.safe import cell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_GAP = 3
_LEAST = 10


def aligned(rows: Sequence[Sequence[str]], *, least: int = _LEAST) -> str:
    """The rows as lines; every column but the last is as wide as its widest cell, and ``least``. Safe to show."""
    if not rows:
        return ""
    rows = [[cell(text) for text in row] for row in rows]
    widths = [
        max(least, _GAP + max(len(row[index]) for row in rows)) for index in range(len(rows[0]) - 1)
    ]
    lines = []
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
        lines.append("".join(cells) + row[-1] + "\n")
    return "".join(lines)


def shortened(text: str, limit: int) -> str:
    """``text``, or its beginning and an ellipsis, at most ``limit`` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
