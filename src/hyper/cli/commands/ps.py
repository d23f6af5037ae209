"""``hyper ps`` (as docker's) and ``hyper list`` (the VM side)."""

from __future__ import annotations

from hyper.cli.addresses import displayed
from hyper.cli.ago import local_time, since
from hyper.cli.columns import shortened
from hyper.cli.context import tell
from hyper.cli.flags import Command, Flag, whole_number
from hyper.cli.listing import FILTER, FORMAT, NO_TRUNC, QUIET, filters, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

_PS_HEADINGS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Ports": "PORTS",
    "Names": "NAMES",
}
_LIST_HEADINGS = {
    "ID": "CONTAINER ID",
    "Names": "NAME",
    "Image": "IMAGE",
    "Status": "STATUS",
    "Driver": "DRIVER",
    "VCPUs": "VCPUS",
    "Memory": "MEMORY",
    "Boot": "BOOT",
    "Ports": "PORTS",
}
_COMMAND_WIDTH = 20


def ps_row(found: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """A listed container as docker's templates name its fields."""
    names = [name.removeprefix("/") for name in found.get("Names") or ()]
    command = found.get("Command", "")
    return {
        "ID": found["Id"] if whole else found["Id"][:12],
        "Image": found.get("Image") or "<no image>",
        "Command": f'"{command if whole else shortened(command, _COMMAND_WIDTH)}"',
        "CreatedAt": local_time(found.get("Created", 0)),
        "RunningFor": since(found.get("Created", 0)),
        "State": found.get("State", ""),
        "Status": found.get("Status", ""),
        "Ports": displayed(found.get("Ports") or ()),
        # Names with a slash are links of other containers.
        "Names": ",".join(n for n in names if whole or "/" not in n),
        "Labels": ",".join(f"{k}={v}" for k, v in sorted((found.get("Labels") or {}).items())),
        "Mounts": ",".join(m.get("Name") or m["Source"] for m in found.get("Mounts") or ()),
        "Networks": ",".join(sorted((found.get("NetworkSettings") or {}).get("Networks") or {})),
        "Size": _size(found),
    }


def _size(found: dict[str, Any]) -> str:
    """The size of the files a container wrote and, where known, of all its files, in docker's words."""
    written, whole = found.get("SizeRw") or 0, found.get("SizeRootFs") or 0
    if not written and not whole:
        return "0B"
    from hyper.units import human_size

    return human_size(written) + (f" (virtual {human_size(whole)})" if whole else "")


def list_row(found: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """A listed container with its VM; ``-`` for what the daemon does not say."""
    vm = found.get("Hyper") or {}
    driver = "/".join(filter(None, (vm.get("Driver"), vm.get("Accelerator"))))
    memory, boot = vm.get("MemoryMiB"), vm.get("BootMs")
    return ps_row(found, whole=whole) | {
        "Driver": driver or "-",
        "VCPUs": vm.get("VCPUs") or "-",
        "Memory": "-" if memory is None else f"{memory:g}MiB",
        "Boot": "-" if boot is None else f"{boot:.0f}ms",
        "Pid": vm.get("Pid") or "-",
        "Sandbox": (vm.get("Sandbox") or "-")[: None if whole else 12],
    }


def _run(
    context: Context,
    arguments: Arguments,
    headings: dict[str, str],
    make_row: Callable[..., dict[str, Any]],
) -> int:
    limit = 1 if arguments.on("--latest") else arguments.number("--last")
    asked = arguments.text("--format") or ""
    sized = arguments.on("--size")
    found = context.engine.get(
        "/containers/json",
        all=arguments.on("--all"),
        limit=limit,
        size=sized or ".Size" in asked,  # it takes time
        filters=filters(arguments),
    )
    whole = arguments.on("--no-trunc")
    rows = [make_row(container, whole=whole) for container in found]
    if arguments.on("--quiet"):
        for row in rows:
            tell(row["ID"])
        return 0
    show(rows, headings | {"Size": "SIZE"} if sized else headings, arguments.text("--format"))
    return 0


def _ps(context: Context, arguments: Arguments) -> int:
    return _run(context, arguments, _PS_HEADINGS, ps_row)


def _list(context: Context, arguments: Arguments) -> int:
    return _run(context, arguments, _LIST_HEADINGS, list_row)


_FLAGS = (
    Flag("-a", "--all", help="Those that do not run, too"),
    FILTER,
    FORMAT,
    Flag("-n", "--last", takes="N", parse=whole_number, help="The last N created"),
    Flag("-l", "--latest", help="The last created"),
    NO_TRUNC,
    QUIET,
    Flag("-s", "--size", help="What each has written, and the size of all its files"),
)
PS = Command(
    _ps,
    most=0,
    flags=_FLAGS,
    examples=("hyper ps -a", "hyper ps --filter status=exited --format '{{.Names}} {{.Status}}'"),
)
LIST = Command(
    _list,
    most=0,
    flags=_FLAGS,
    examples=("hyper list", "hyper list -a --format '{{.Names}} {{.Pid}} {{.Boot}}'"),
)
