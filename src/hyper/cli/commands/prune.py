"""``hyper container prune``, ``image``, ``network``, ``volume`` and ``system prune``: ask, remove, say how much."""

from __future__ import annotations

import sys

from hyper.cli.context import tell
from hyper.cli.flags import Command, Flag, UsageError
from hyper.cli.listing import filters, parse_filter
from hyper.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments


def _prune(context: Context, kind: str, query: dict[str, Any]) -> int:
    """Remove unused objects of one kind and name them; returns the bytes that are free now."""
    answer = context.engine.post(f"/{kind}/prune", filters=query) or {}
    field = f"{kind[:-1].capitalize()}sDeleted"
    gone = [_deleted(item) for item in answer.get(field) or ()]
    if gone:
        tell(f"Deleted {kind.capitalize()}:\n" + "\n".join(gone) + "\n")
    return int(answer.get("SpaceReclaimed") or 0)


def _deleted(item: str | dict[str, str]) -> str:
    if isinstance(item, str):
        return item
    return "\n".join(f"{verb.lower()}: {what}" for verb, what in item.items())


def _is_wanted(arguments: Arguments, warning: str) -> bool:
    """Whether the user agrees: --force, or a y. Any other answer is a no, and no error (as in docker)."""
    if arguments.on("--force"):
        return True
    what = arguments.all("--filter")
    told = f"{warning}\n" + (f"\nItems to be pruned: {', '.join(what)}\n" if what else "")
    sys.stdout.write(f"WARNING! {told}Are you sure you want to continue? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() == "y"


def _total(count: int) -> int:
    tell(f"Total reclaimed space: {human_size(count, 4)}")
    return 0


def _container(context: Context, arguments: Arguments) -> int:
    if not _is_wanted(arguments, "This will remove all stopped containers."):
        return 0
    return _total(_prune(context, "containers", filters(arguments)))


def _image(context: Context, arguments: Arguments) -> int:
    every = arguments.on("--all")
    what = "all images without at least one container associated to them"
    if not _is_wanted(arguments, f"This will remove {what if every else 'all dangling images'}."):
        return 0
    query = filters(arguments) | {"dangling": ["false" if every else "true"]}
    return _total(_prune(context, "images", query))


def _network(context: Context, arguments: Arguments) -> int:
    if not _is_wanted(
        arguments,
        "This will remove all custom networks not used by at least one container.",
    ):
        return 0
    _prune(context, "networks", filters(arguments))
    return 0


def _volume(context: Context, arguments: Arguments) -> int:
    every = arguments.on("--all")
    what = "all" if every else "anonymous"
    if not _is_wanted(
        arguments,
        f"This will remove {what} local volumes not used by at least one container.",
    ):
        return 0
    query = filters(arguments) | ({"all": ["true"]} if every else {})
    return _total(_prune(context, "volumes", query))


def _system(context: Context, arguments: Arguments) -> int:
    every, volumes = arguments.on("--all"), arguments.on("--volumes")
    query = filters(arguments)
    if volumes and "until" in query:
        raise UsageError('the "until" filter is not supported with "--volumes"')
    lines = ["all stopped containers", "all networks not used by at least one container"]
    lines += ["all anonymous volumes not used by at least one container"] if volumes else []
    lines += [
        "all images without at least one container associated to them"
        if every
        else "all dangling images"
    ]
    warning = "This will remove:\n" + "".join(f"  - {line}\n" for line in lines)
    if not _is_wanted(arguments, warning):
        return 0
    total = _prune(context, "containers", query)
    _prune(context, "networks", query)
    if volumes:
        total += _prune(context, "volumes", query)
    total += _prune(context, "images", query | {"dangling": ["false" if every else "true"]})
    return _total(total)


_FILTER = Flag(
    "--filter", takes="NAME=VALUE", many=True, parse=parse_filter, help="Only those: until=24h"
)
_FORCE = Flag("-f", "--force", help="Do not ask")

CONTAINER_PRUNE = Command(
    _container,
    most=0,
    flags=(_FILTER, _FORCE),
    examples=("hyper container prune", "hyper container prune -f --filter until=24h"),
)
IMAGE_PRUNE = Command(
    _image,
    most=0,
    flags=(
        Flag("-a", "--all", help="Those with a name, too, if no container uses them"),
        _FILTER,
        _FORCE,
    ),
    examples=("hyper image prune -a",),
)
NETWORK_PRUNE = Command(
    _network, most=0, flags=(_FILTER, _FORCE), examples=("hyper network prune -f",)
)
VOLUME_PRUNE = Command(
    _volume,
    most=0,
    flags=(Flag("-a", "--all", help="Those with a name, too"), _FILTER, _FORCE),
    examples=("hyper volume prune -f", "hyper volume prune -a --filter label=scratch"),
)
SYSTEM_PRUNE = Command(
    _system,
    most=0,
    flags=(
        Flag("-a", "--all", help="Images with a name, too, if no container uses them"),
        _FILTER,
        _FORCE,
        Flag("--volumes", help="Anonymous volumes, too"),
    ),
    examples=("hyper system prune", "hyper system prune -af --volumes"),
)
