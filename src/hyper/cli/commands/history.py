"""``hyper history``."""

from __future__ import annotations

from hyper.cli.ago import rfc3339_local, since
from hyper.cli.columns import shortened
from hyper.cli.context import tell
from hyper.cli.flags import Command, Flag
from hyper.cli.listing import FORMAT, NO_TRUNC, QUIET, show
from hyper.client.engine import image_path
from hyper.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

_BY_WIDTH = 45


def _row(layer: dict[str, Any], *, whole: bool, human: bool) -> dict[str, Any]:
    identifier, by = layer["Id"], layer["CreatedBy"].replace("\t", " ")
    at = rfc3339_local(layer["Created"])
    return {
        "ID": identifier if whole else identifier.removeprefix("sha256:")[:12],
        "CreatedAt": at,
        "CreatedSince": since(layer["Created"]) if human else at,
        "CreatedBy": by if whole else shortened(by, _BY_WIDTH),
        "Size": human_size(layer["Size"]) if human else str(layer["Size"]),
        "Comment": layer["Comment"],
    }


def _run(context: Context, arguments: Arguments) -> int:
    layers = context.engine.get(image_path(arguments.words[0], "/history"))
    whole, human = arguments.on("--no-trunc"), arguments.on("--human")
    rows = [_row(layer, whole=whole, human=human) for layer in layers]
    if arguments.on("--quiet"):
        for row in rows:
            tell(row["ID"])
        return 0
    headings = {
        "ID": "IMAGE",
        "CreatedSince": "CREATED" if human else "CREATED AT",
        "CreatedBy": "CREATED BY",
        "Size": "SIZE",
        "Comment": "COMMENT",
    }
    show(rows, headings, arguments.text("--format"))
    return 0


HISTORY = Command(
    _run,
    words="IMAGE",
    least=1,
    most=1,
    flags=(
        FORMAT,
        Flag("-H", "--human", default=True, help="Sizes and times for people (default; -H=false)"),
        NO_TRUNC,
        QUIET,
    ),
    examples=("hyper history nginx", "hyper history --no-trunc --format '{{.CreatedBy}}' nginx"),
)
