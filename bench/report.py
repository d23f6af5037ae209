"""The results as Markdown. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby

from bench.row import Row

_HEAD = "| | goal | median | p95 | n | peer | its median | its p95 | ratio | accelerator |"
_RULE = "|---|---|---|---|---|---|---|---|---|---|"


def table(rows: Sequence[Row]) -> str:
    """The figures; goals that are missed are said to be."""
    return "\n".join([_HEAD, _RULE, *map(_line, rows)])


def document(
    facts: Mapping[str, str], rows: Sequence[Row], failures: Mapping[str, str], chart: str
) -> str:
    """bench/RESULTS.md. ``chart``: the name of the plot beside it."""
    missed = [row.name for row in rows if row.met is False]
    unknown = [row.name for row in rows if row.goal is not None and row.met is None]
    parts = [
        "# Results",
        "Written by `make bench`; what the rows mean is in [README.md](README.md). Peers are measured in the same "
        "run, by turns (A B A B). Docker's is Debian's dockerd with runc, unless the row says another.",
        "\n".join(f"* {name}: {value}" for name, value in facts.items()),
        f"![Each figure in the peer's, with its goal]({chart})",
        table(rows),
        "**Goals missed:** " + ("; ".join(missed) if missed else "none") + ".",
        *(["**Goals not measured:** " + "; ".join(unknown) + "."] if unknown else []),
        *(f"**Could not be measured:** `{name}`: {why}" for name, why in failures.items()),
        "## How, and how to repeat",
        *(_how(list(group)) for _, group in groupby(rows, key=lambda row: row.theme)),
    ]
    return "\n\n".join(parts) + "\n"


def _line(row: Row) -> str:
    cells = [
        ("&nbsp;&nbsp;" if row.part else "") + row.name,
        _goal(row),
        _figure(row.median, row.unit) or row.missing,
        _number(row.p95),
        str(len(row.values)) if row.values else "",
        *_peer(row),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        row.accelerator,
    ]
    return "| " + " | ".join(cells) + " |"


def _goal(row: Row) -> str:
    if row.goal is None:
        return ""
    sign = "≥" if row.goal.least else "≤"
    said = {True: ": met", False: ": **MISSED**", None: ""}[row.met]
    return f"{sign} {row.goal.bound:g}" + (" ×" * row.goal.ratio) + said


def _peer(row: Row) -> tuple[str, str, str]:
    if row.peer is None:
        return "", "", ""
    if row.peer_median is None:
        return row.peer_name, "missing", ""
    return row.peer_name, _figure(row.peer_median, row.unit), _number(row.peer_p95)


def _how(rows: Sequence[Row]) -> str:
    """The rows of one theme: the command that repeats them, and how each was obtained."""
    command = f"`.venv/bin/python -m bench {rows[0].theme} -n {rows[0].runs}`"
    lines = [f"* {row.name}: {'; '.join(_told(row))}" for row in rows if _told(row)]
    return "\n".join([command, "", *lines]) if lines else command


def _told(row: Row) -> list[str]:
    return [text for text in (row.command, row.note, row.missing) if text]


def _figure(value: float | None, unit: str) -> str:
    return (
        f"{_number(value)} {unit}" if value is not None and math.isfinite(value) else _number(value)
    )


def _number(value: float | None) -> str:
    """Three digits that matter."""
    if value is None:
        return ""
    if math.isinf(value):
        return "never"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
