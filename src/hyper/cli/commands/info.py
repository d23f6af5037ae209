"""``hyper info``."""

from __future__ import annotations

from hyper.cli.columns import aligned
from hyper.cli.context import say, tell
from hyper.cli.flags import Command
from hyper.cli.listing import FORMAT
from hyper.cli.selector import compile_format
from hyper.units import GIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

#: Heading -> field of /info.
_FACTS = {
    "Server version": "ServerVersion",
    "Name": "Name",
    "Containers": "Containers",
    "  running": "ContainersRunning",
    "  stopped": "ContainersStopped",
    "Images": "Images",
    "Storage": "Driver",
    "Data": "DockerRootDir",
    "Operating system": "OperatingSystem",
    "Host kernel": "KernelVersion",
    "Architecture": "Architecture",
    "CPUs": "NCPU",
}


def _run(context: Context, arguments: Arguments) -> int:
    info = context.engine.get("/info")
    text = arguments.text("--format")
    if text is not None:
        tell(compile_format(text)(info))
        return 0
    for heading, field in _FACTS.items():
        if field in info:
            tell(f"{heading + ':':<18} {info[field]}")
    if info.get("MemTotal"):
        tell(f"{'Memory:':<18} {info['MemTotal'] / GIB:.2f} GiB")
    _tell_hyper(info.get("Hyper") or {})
    for warning in info.get("Warnings") or ():
        say(warning)
    return 0


def _tell_hyper(hyper: dict[str, Any]) -> None:
    kernel = hyper.get("Kernel")
    if isinstance(kernel, dict):
        kernel = ", ".join(f"{name}: {value}" for name, value in kernel.items())
    if kernel:
        tell(f"{'Guest kernel:':<18} {kernel}")
    if hyper.get("Hypervisor"):
        tell(f"{'Hypervisor:':<18} {hyper['Hypervisor']}")
    hypervisors = hyper.get("Hypervisors") or ()
    if hypervisors:
        rows = [["DRIVER", "ACCELERATOR", "USABLE", "BOOT", "WHY"], *map(_row, hypervisors)]
        tell("Hypervisors:")
        table = aligned(rows)
        tell("\n".join(f"  {line}" for line in table.splitlines()))


def _row(found: dict[str, Any]) -> list[str]:
    boot, usable = found.get("BootMs"), found.get("Usable")
    return [
        str(found.get("Driver") or "-"),
        str(found.get("Accelerator") or "-"),
        "?" if usable is None else "yes" if usable else "no",
        "-" if boot is None else f"{boot:.0f}ms",
        str(found.get("Reason") or ""),
    ]


INFO = Command(
    _run,
    most=0,
    flags=(FORMAT,),
    examples=("hyper info", "hyper info --format '{{json .Hyper.Hypervisors}}'"),
)
