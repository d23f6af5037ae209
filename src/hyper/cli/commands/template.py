"""``hyper template ls``, ``build``, ``inspect`` and ``rm``, and ``hyper pool``."""

from __future__ import annotations

from hyper.cli import values
from hyper.cli.ago import since
from hyper.cli.context import tell
from hyper.cli.each import for_each
from hyper.cli.figures import binary_size
from hyper.cli.flags import Command, Flag, whole_number
from hyper.cli.listing import FORMAT, INSPECT_FORMAT, show
from hyper.cli.objects import inspect
from hyper.client.engine import object_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

_HEADINGS = {
    "Key": "TEMPLATE",
    "VCPUs": "CPUS",
    "Memory": "MEMORY",
    "Card": "CARD",
    "Size": "ON DISK",
    "Used": "USED",
}
_SHELVES = {
    "VCPUs": "CPUS",
    "Memory": "MEMORY",
    "Card": "CARD",
    "Waiting": "WAITING",
    "Wanted": "WANTED",
}


def _row(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "Key": found["Key"],
        "VCPUs": found["VCPUs"],
        "Memory": f"{found['MemoryMiB']} MiB",
        "Card": found["Card"],
        "Size": binary_size(found["DiskBytes"]),
        "Used": since(found["Used"]),
    }


def _ls(context: Context, arguments: Arguments) -> int:
    found = context.engine.get("/hyper/v1/templates")
    if arguments.on("--quiet"):
        for one in found:
            tell(one["Key"])
        return 0
    show([_row(one) for one in found], _HEADINGS, arguments.text("--format"))
    return 0


def _build(context: Context, arguments: Arguments) -> int:
    body = {
        "VCPUs": arguments.number("--cpus") or 0,
        "MemoryMiB": (arguments.number("--memory") or 0) >> 20,
        "Card": arguments.text("--card") or "",
    }
    tell(context.engine.post("/hyper/v1/templates", body)["Key"])
    return 0


def _inspect(context: Context, arguments: Arguments) -> int:
    return inspect(
        arguments.words,
        lambda key: context.engine.get(object_path("hyper/v1/templates", key)),
        arguments.text("--format"),
    )


def _rm(context: Context, arguments: Arguments) -> int:
    return for_each(
        arguments.words,
        lambda key: context.engine.delete(object_path("hyper/v1/templates", key)),
    )


def _pool(context: Context, arguments: Arguments) -> int:
    found = context.engine.get("/hyper/v1/pool", wait=arguments.on("--wait"))
    rows = [
        {
            "VCPUs": shelf["VCPUs"],
            "Memory": f"{shelf['MemoryMiB']} MiB",
            "Card": shelf["Card"],
            "Waiting": shelf["Waiting"],
            "Wanted": shelf["Wanted"],
        }
        for shelf in found["Shelves"]
    ]
    if not arguments.given("--format"):
        waiting = sum(shelf["Waiting"] for shelf in found["Shelves"])
        room = found["LimitMiB"] // found["MachineMiB"]
        tell(f"{waiting} of at most {room} machines wait ({found['LimitMiB']} MiB); "
             f"{found['Taken']} starts found one, {found['Missed']} did not")  # fmt: skip
        if not rows:
            return 0
    show(rows, _SHELVES, arguments.text("--format"))
    return 0


TEMPLATE_LS = Command(
    _ls,
    most=0,
    flags=(FORMAT, Flag("-q", "--quiet", help="Only keys")),
    examples=("hyper template ls",),
)
TEMPLATE_BUILD = Command(
    _build,
    most=0,
    flags=(
        Flag("--cpus", takes="N", parse=whole_number, help="CPUs of its machines (1)"),
        Flag("-m", "--memory", takes="SIZE", parse=values.size, help="Their -m (the default's)"),
        Flag("--card", takes="KIND", help="Their card: tap, user or none (as containers have it)"),
    ),
    examples=("hyper template build", "hyper template build --cpus 2 -m 512m"),
)
TEMPLATE_INSPECT = Command(
    _inspect,
    words="TEMPLATE [TEMPLATE...]",
    least=1,
    flags=(INSPECT_FORMAT,),
    examples=("hyper template inspect 3f2a",),
)
TEMPLATE_RM = Command(
    _rm,
    words="TEMPLATE [TEMPLATE...]",
    least=1,
    examples=("hyper template rm 3f2a", "hyper template rm $(hyper template ls -q)"),
)
POOL = Command(
    _pool,
    most=0,
    flags=(FORMAT, Flag("--wait", help="Answer once as many wait as should")),
    examples=("hyper pool", "hyper pool --wait"),
)
