"""``hyper system df``."""

from __future__ import annotations

from hyper.cli.ago import since
from hyper.cli.columns import aligned, shortened
from hyper.cli.commands.images import image_rows
from hyper.cli.context import tell
from hyper.cli.flags import Command, Flag, UsageError
from hyper.cli.listing import FORMAT, show
from hyper.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

_HEADINGS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
_ACTIVE = ("running", "paused", "restarting")
_COMMAND_WIDTH = 20


def usage_rows(usage: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer of ``/system/df`` as docker's four rows."""
    images, containers = usage.get("Images") or [], usage.get("Containers") or []
    volumes = [v.get("UsageData") or {} for v in usage.get("Volumes") or ()]
    used = [i for i in images if i.get("Containers")]
    own = sum(i["Size"] - i["SharedSize"] for i in used if -1 not in (i["Size"], i["SharedSize"]))
    busy = [c for c in containers if c.get("State") in _ACTIVE]
    sizes = [c.get("SizeRw", 0) for c in containers]
    held = sum(c.get("SizeRw", 0) for c in busy)
    free = [v.get("Size", 0) for v in volumes if v.get("RefCount", 0) == 0]
    cache = usage.get("BuildCache") or []
    layers = usage.get("LayersSize") or 0
    on_volumes = sum(max(0, v.get("Size", 0)) for v in volumes)
    bound = sum(1 for v in volumes if v.get("RefCount", 0) > 0)
    cached = sum(c.get("Size", 0) for c in cache if not c.get("Shared"))
    return [
        _row("Images", len(images), len(used), layers, layers - own),
        _row("Containers", len(containers), len(busy), sum(sizes), sum(sizes) - held),
        _row("Local Volumes", len(volumes), bound, on_volumes, sum(max(0, s) for s in free)),
        _row("Build Cache", len(cache), sum(1 for c in cache if c.get("InUse")), cached, cached)
        | {"Reclaimable": human_size(cached, 4)},
    ]


def _row(kind: str, count: int, active: int, size: int, free: int) -> dict[str, Any]:
    share = f" ({free * 100 // size}%)" if size > 0 else ""
    return {
        "Type": kind,
        "TotalCount": str(count),
        "Active": str(active),
        "Size": human_size(size, 4),
        "Reclaimable": human_size(free, 4) + share,
    }


def _run(context: Context, arguments: Arguments) -> int:
    format_text = arguments.text("--format")
    if arguments.on("--verbose") and format_text is not None:
        raise UsageError("--verbose and --format exclude each other")
    usage = context.engine.get("/system/df")
    if arguments.on("--verbose"):
        _tell_all(usage)
    else:
        show(usage_rows(usage), _HEADINGS, format_text)
    return 0


def _tell_all(usage: dict[str, Any]) -> None:
    tell("Images space usage:\n")
    head = "REPOSITORY TAG IMAGE_ID CREATED SIZE SHARED_SIZE UNIQUE_SIZE CONTAINERS"
    _tell_table(head, [_image_cells(i) for i in usage.get("Images") or ()])
    tell("\nContainers space usage:\n")
    head = "CONTAINER_ID IMAGE COMMAND LOCAL_VOLUMES SIZE CREATED STATUS NAMES"
    _tell_table(head, [_container_cells(c) for c in usage.get("Containers") or ()])
    tell("\nLocal Volumes space usage:\n")
    _tell_table("VOLUME_NAME LINKS SIZE", [_volume_cells(v) for v in usage.get("Volumes") or ()])


def _tell_table(head: str, rows: list[list[str]]) -> None:
    tell(aligned([[word.replace("_", " ") for word in head.split()], *rows]).rstrip("\n"))


def _image_cells(found: dict[str, Any]) -> list[str]:
    shared = max(0, found.get("SharedSize", 0))
    row = next(image_rows(found, whole=False))
    return [
        *(row[field] for field in ("Repository", "Tag", "ID", "CreatedSince", "Size")),
        human_size(shared, 4),
        human_size(found["Size"] - shared, 4),
        str(max(0, found.get("Containers", 0))),
    ]


def _container_cells(found: dict[str, Any]) -> list[str]:
    return [
        found["Id"][:12],
        found.get("Image", ""),
        f'"{shortened(found.get("Command", ""), _COMMAND_WIDTH)}"',
        str(sum(1 for m in found.get("Mounts") or () if m.get("Type") == "volume")),
        human_size(found.get("SizeRw", 0)),
        since(found.get("Created", 0)),
        found.get("Status", ""),
        ",".join(name.removeprefix("/") for name in found.get("Names") or ()),
    ]


def _volume_cells(found: dict[str, Any]) -> list[str]:
    usage = found.get("UsageData") or {}
    size = usage.get("Size", -1)
    return [
        found["Name"],
        str(usage.get("RefCount", 0)),
        "N/A" if size < 0 else human_size(size, 4),
    ]


SYSTEM_DF = Command(
    _run,
    most=0,
    flags=(FORMAT, Flag("-v", "--verbose", help="Each image, container and volume")),
    examples=("hyper system df", "hyper system df -v"),
)
