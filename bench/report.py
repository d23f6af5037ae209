"""The results as Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from bench.row import Row

_HEAD = "| | goal | median | p95 | min | n | peer's median | ratio | accelerator |"
_RULE = "|---|---|---|---|---|---|---|---|---|"


def table(rows: Sequence[Row]) -> str:
    """The figures; goals that are missed are said to be."""
    return "\n".join([_HEAD, _RULE, *map(_line, rows)])


def document(facts: Mapping[str, str], rows: Sequence[Row], failures: Mapping[str, str]) -> str:
    """bench/RESULTS.md."""
    missed = [row.name for row in rows if row.met is False]
    parts = [
        "# Results",
        "Written by `make bench`; what the rows mean is in [README.md](README.md). Peer: Docker, "
        "in the same run, by turns (A B A B), unless the row says another.",
        "\n".join(f"* {name}: {value}" for name, value in facts.items()),
        table(rows),
        "**Goals missed:** " + ("; ".join(missed) if missed else "none") + ".",
        *(f"**Could not be measured:** `{name}`: {why}" for name, why in failures.items()),
        "## How, and how to repeat",
        *(_how(list(group)) for _, group in groupby(rows, key=lambda row: row.theme)),
    ]
    return "\n\n".join(parts) + "\n"


def _line(row: Row) -> str:
    goal = "" if row.goal is None else f"≤ {row.goal.at_most:g}" + (" ×" * row.goal.ratio)
    if row.met is not None:
        goal += ": met" if row.met else ": **MISSED**"
    peer, ratio = row.peer_median, row.ratio
    cells = [
        ("&nbsp;&nbsp;" if row.part else "") + row.name,
        goal,
        f"{_number(row.median)} {row.unit}",
        _number(row.p95),
        _number(min(row.values)),
        str(len(row.values)),
        "" if peer is None else f"{_number(peer)} {row.unit}",
        "" if ratio is None else f"{ratio:.2f}",
        row.accelerator,
    ]
    return "| " + " | ".join(cells) + " |"


def _how(rows: Sequence[Row]) -> str:
    """The rows of one theme: the command that repeats them, and how each was obtained."""
    command = f"`.venv/bin/python -m bench {rows[0].theme} -n {rows[0].runs}`"
    return "\n".join([command, "", *(f"* {row.name}: {row.note}" for row in rows if row.note)])


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
