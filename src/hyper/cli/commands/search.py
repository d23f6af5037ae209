"""``hyper search``."""

from __future__ import annotations

import os

from hyper.cli.columns import shortened
from hyper.cli.flags import Command, Flag, whole_number
from hyper.cli.listing import FILTER, FORMAT, NO_TRUNC, filters, show
from hyper.client.credentials import auth_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

_HEADINGS = {
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "StarCount": "STARS",
    "IsOfficial": "OFFICIAL",
}
_WIDTH = 45


def search_row(found: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """One image found as docker's templates name its fields."""
    text = found.get("description", "").replace("\n", " ").replace("\r", " ")
    return {
        "Name": found["name"],
        "Description": text if whole else shortened(text, _WIDTH),
        "StarCount": str(found.get("star_count", 0)),
        "IsOfficial": "[OK]" if found.get("is_official") else "",
    }


def _run(context: Context, arguments: Arguments) -> int:
    term = arguments.words[0]
    auth = auth_header(term, os.environ)
    response = context.engine.request_json(
        "GET",
        "/images/search",
        {"term": term, "limit": arguments.number("--limit"), "filters": filters(arguments)},
        headers=(("X-Registry-Auth", auth),) if auth else (),
    )
    rows = [search_row(found, whole=arguments.on("--no-trunc")) for found in response or ()]
    show(rows, _HEADINGS, arguments.text("--format"))
    return 0


SEARCH = Command(
    _run,
    words="TERM",
    least=1,
    most=1,
    flags=(
        FILTER,
        FORMAT,
        Flag("--limit", takes="N", parse=whole_number, help="At most so many"),
        NO_TRUNC,
    ),
    examples=("hyper search --filter is-official=true nginx",),
)
