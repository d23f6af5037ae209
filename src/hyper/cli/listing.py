"""Tools that the listing commands share: filters, formats, tables."""

from __future__ import annotations

import re
import sys

from hyper.cli.columns import aligned
from hyper.cli.flags import Flag
from hyper.cli.selector import compile_format

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from hyper.cli.flags import Arguments

_FIELD = re.compile(r"\.([A-Za-z]\w*)")


def parse_filter(text: str) -> str:
    """A flag's ``parse``: one filter of the API."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value:
        raise ValueError("use NAME=VALUE, as in status=running")
    return f"{name.strip()}={value}"


def check_format(text: str) -> str:
    """A flag's ``parse``: a format that can be shown."""
    compile_format(text)
    return text


FILTER = Flag(
    "-f", "--filter", takes="NAME=VALUE", many=True, parse=parse_filter, help="Only those"
)
FORMAT = Flag(
    "--format",
    takes="FORMAT",
    parse=check_format,
    help="What to print of each: '{{.ID}} {{.Names}}', a path, 'table ...', or json",
)
INSPECT_FORMAT = Flag(
    "-f",
    "--format",
    takes="FORMAT",
    parse=check_format,
    help="What to print of each: '{{.State.Status}}', a path, '{{json .Config}}', or json",
)
NO_TRUNC = Flag("--no-trunc", help="Do not shorten anything")
QUIET = Flag("-q", "--quiet", help="Only ids")


def filters(arguments: Arguments) -> dict[str, list[str]]:
    """The ``filters`` of the API."""
    made: dict[str, list[str]] = {}
    for text in arguments.texts("--filter"):
        name, _, value = text.partition("=")
        made.setdefault(name, []).append(value)
    return made


def show(rows: Sequence[dict[str, Any]], headings: dict[str, str], format_text: str | None) -> None:
    """Print the rows: a table of the fields ``headings`` names, or in the format ``format_text``."""
    if format_text is None or format_text == "table":
        cells = [[str(row[field]) for field in headings] for row in rows]
        sys.stdout.write(aligned([list(headings.values()), *cells]))
    elif format_text.startswith("table "):
        _show_table(rows, headings, format_text.removeprefix("table "))
    else:
        _show_lines(rows, compile_format(format_text))


def _show_lines(rows: Sequence[dict[str, Any]], render: Callable[[Any], str]) -> None:
    for row in rows:
        # A whole row as JSON has its fields in order of their names, as Go writes a map.
        sys.stdout.write(render(dict(sorted(row.items()))) + "\n")


def _show_table(rows: Sequence[dict[str, Any]], headings: dict[str, str], text: str) -> None:
    render = compile_format(text)
    names = {field: _heading(field) for field in _FIELD.findall(text)} | headings
    lines = [compile_format(text, heading=True)(names), *(render(row) for row in rows)]
    sys.stdout.write(aligned([line.split("\t") for line in lines]))


def _heading(field: str) -> str:
    """The heading of a field: CreatedAt -> CREATED AT."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", field).upper()
