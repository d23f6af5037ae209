"""``hyper pod start``, ``stop``, ``rm``, ``ls`` and ``inspect``."""

from __future__ import annotations

from hyper.cli.addresses import displayed
from hyper.cli.ago import local_time, since
from hyper.cli.context import say, tell
from hyper.cli.each import for_each
from hyper.cli.flags import Command, Flag, whole_number
from hyper.cli.listing import NO_TRUNC, QUIET, check_format, show
from hyper.cli.objects import inspect, labels_of
from hyper.cli.pods import PODS, WAIT, find_pod, lasting, pod_path, until_ready
from hyper.client.errors import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

_HEADINGS = {
    "ID": "POD ID",
    "Name": "NAME",
    "Ready": "READY",
    "Status": "STATUS",
    "Restarts": "RESTARTS",
    "RunningFor": "CREATED",
    "IP": "IP",
    "Ports": "PORTS",
}


def pod_row(found: dict[str, Any], *, whole: bool) -> dict[str, Any]:
    """A pod as templates name its fields."""
    boxes = lasting(found)
    return {
        "ID": found["Id"] if whole else found["Id"][:12],
        "Name": found["Name"],
        "Ready": f"{sum(box['Ready'] for box in boxes)}/{len(boxes)}",
        "Status": found["Status"],
        "Restarts": sum(box["Restarts"] for box in found["Containers"]),
        "RunningFor": since(found["Created"]),
        "CreatedAt": local_time(found["Created"]),
        "IP": found["Ip"],
        "Network": found["Network"],
        "Ports": displayed(_ports(found["Ports"])),
        "VCPUs": found["Cpus"],
        "Memory": f"{found['Memory'] / 2**20:g}MiB",
        "Hostname": found["Hostname"],
        "Containers": ",".join(box["Name"] for box in boxes),
        "Labels": labels_of(found),
    }


def _ports(bindings: dict[str, Any]) -> list[dict[str, Any]]:
    """The published ports as a list of containers has them."""
    made: list[dict[str, Any]] = []
    for spec, places in (bindings or {}).items():
        number, _, kind = spec.partition("/")
        port = {"PrivatePort": int(number), "Type": kind or "tcp"}
        # A range, or no number: which one it will be is known when it runs.
        known = [place for place in places or () if place.get("HostPort", "").isdecimal()]
        made += [
            port | {"IP": place.get("HostIp") or "0.0.0.0", "PublicPort": int(place["HostPort"])}
            for place in known
        ] or [port]
    return made


def _start(context: Context, arguments: Arguments) -> int:
    def start(name: str) -> None:
        context.engine.post(pod_path(name, "/start"))
        if arguments.on("--wait"):
            until_ready(context, name)

    return for_each(arguments.words, start)


def _stop(context: Context, arguments: Arguments) -> int:
    seconds = arguments.number("--timeout")
    return for_each(
        arguments.words, lambda name: context.engine.post(pod_path(name, "/stop"), t=seconds)
    )


def _rm(context: Context, arguments: Arguments) -> int:
    force, volumes = arguments.on("--force"), arguments.on("--volumes")

    def remove(name: str) -> bool | None:
        try:
            context.engine.delete(pod_path(name), force=force, v=volumes)
        except ApiError as error:
            if force and error.status == 404:
                say(f"hyper: {error}")
                return False
            raise
        return None

    return for_each(arguments.words, remove)


def _ls(context: Context, arguments: Arguments) -> int:
    rows = [pod_row(found, whole=arguments.on("--no-trunc")) for found in context.engine.get(PODS)]
    if arguments.on("--quiet"):
        for row in rows:
            tell(row["ID"])
        return 0
    show(rows, _HEADINGS, arguments.text("--format"))
    return 0


def _inspect(context: Context, arguments: Arguments) -> int:
    return inspect(
        arguments.words, lambda name: find_pod(context, name), arguments.text("--format")
    )


_WORDS = "POD [POD...]"
POD_START = Command(
    _start, words=_WORDS, least=1, flags=(WAIT,), examples=("hyper pod start --wait shop",)
)
POD_STOP = Command(
    _stop,
    words=_WORDS,
    least=1,
    flags=(
        Flag(
            "-t",
            "--timeout",
            "--time",
            takes="SECONDS",
            parse=whole_number,
            help="Patience before containers are killed (default: each one's own)",
        ),
    ),
    examples=("hyper pod stop -t 3 shop",),
)
POD_RM = Command(
    _rm,
    words=_WORDS,
    least=1,
    flags=(
        Flag("-f", "--force", help="Kill it first if it runs"),
        Flag("-v", "--volumes", help="Remove its containers' anonymous volumes, too"),
    ),
    examples=("hyper pod rm shop", "hyper pod rm -f $(hyper pod ls -q)"),
)
POD_LS = Command(
    _ls,
    most=0,
    flags=(
        Flag(
            "--format",
            takes="FORMAT",
            parse=check_format,
            help="What to print of each: '{{.ID}} {{.Name}}', a path, 'table ...', or json",
        ),
        NO_TRUNC,
        QUIET,
    ),
    examples=("hyper pod ls", "hyper pod ls --format '{{.Name}} {{.Ready}} {{.IP}}'"),
)
POD_INSPECT = Command(
    _inspect,
    words=_WORDS,
    least=1,
    flags=(
        Flag(
            "-f",
            "--format",
            takes="FORMAT",
            parse=check_format,
            help="What to print of each: '{{.Status}}', a path, '{{json .Containers}}', or json",
        ),
    ),
    examples=("hyper pod inspect shop", "hyper pod inspect -f '{{.Ip}}' shop"),
)
