"""``hyper volume create``, ``ls``, ``inspect`` and ``rm``."""

from __future__ import annotations

from hyper.cli import values
from hyper.cli.context import tell
from hyper.cli.each import for_each
from hyper.cli.flags import Command, Flag
from hyper.cli.listing import FILTER, FORMAT, INSPECT_FORMAT, filters, show
from hyper.cli.objects import inspect, labels_of, natural
from hyper.client.engine import object_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

_HEADINGS = {"Driver": "DRIVER", "Name": "VOLUME NAME"}


def volume_row(found: dict[str, Any]) -> dict[str, Any]:
    """A volume as docker's templates name its fields."""
    return {
        "Name": found["Name"],
        "Driver": found["Driver"],
        "Scope": found.get("Scope", "local"),
        "Mountpoint": found.get("Mountpoint", ""),
        "Labels": labels_of(found),
        "Links": "N/A",
        "Size": "N/A",
    }


def _create(context: Context, arguments: Arguments) -> int:
    body = {
        "Name": arguments.words[0] if arguments.words else "",
        "Driver": arguments.text("--driver") or "local",
        "DriverOpts": values.mapping(arguments.texts("--opt")),
        "Labels": values.mapping(arguments.texts("--label")),
    }
    tell(context.engine.post("/volumes/create", body)["Name"])
    return 0


def _ls(context: Context, arguments: Arguments) -> int:
    found = context.engine.get("/volumes", filters=filters(arguments)).get("Volumes") or ()
    rows = [volume_row(one) for one in sorted(found, key=lambda v: natural(v["Name"]))]
    if arguments.on("--quiet") and not arguments.given("--format"):
        for row in rows:
            tell(row["Name"])
        return 0
    show(rows, _HEADINGS, arguments.text("--format"))
    return 0


def _inspect(context: Context, arguments: Arguments) -> int:
    return inspect(
        arguments.words,
        lambda name: context.engine.get(object_path("volumes", name)),
        arguments.text("--format"),
    )


def _rm(context: Context, arguments: Arguments) -> int:
    force = arguments.on("--force")
    return for_each(
        arguments.words,
        lambda name: context.engine.delete(object_path("volumes", name), force=force),
    )


VOLUME_CREATE = Command(
    _create,
    words="[NAME]",
    most=1,
    flags=(
        Flag("-d", "--driver", takes="DRIVER", help="Who keeps it (default: local)"),
        Flag("--label", takes="NAME=VALUE", many=True, parse=values.label, help="Label it"),
        Flag("-o", "--opt", takes="NAME=VALUE", many=True, help="Option of the driver"),
    ),
    examples=("hyper volume create data", "hyper run -v data:/var/lib/data redis"),
)
VOLUME_LS = Command(
    _ls,
    most=0,
    flags=(FILTER, FORMAT, Flag("-q", "--quiet", help="Only names")),
    examples=("hyper volume ls --filter dangling=true",),
)
VOLUME_INSPECT = Command(
    _inspect,
    words="VOLUME [VOLUME...]",
    least=1,
    flags=(INSPECT_FORMAT,),
    examples=("hyper volume inspect -f '{{.Mountpoint}}' data",),
)
VOLUME_RM = Command(
    _rm,
    words="VOLUME [VOLUME...]",
    least=1,
    flags=(Flag("-f", "--force", help="It is no error if there is none"),),
    examples=("hyper volume rm data",),
)
