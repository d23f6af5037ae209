"""``hyper inspect``."""

from __future__ import annotations

from hyper.cli.flags import Command, Flag
from hyper.cli.listing import check_format
from hyper.cli.objects import inspect
from hyper.client.engine import container_path, image_path, object_path
from hyper.client.errors import ApiError
from hyper.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

#: In the order in which a name is looked for, docker's.
_KINDS = ("container", "image", "network", "volume")


def _kind(text: str) -> str:
    if text not in _KINDS:
        raise ValueError(f"use {', '.join(_KINDS[:-1])} or {_KINDS[-1]}")
    return text


def _run(context: Context, arguments: Arguments) -> int:
    kinds = [arguments.text("--type") or ""] if arguments.given("--type") else list(_KINDS)
    return inspect(
        arguments.words,
        lambda name: _find(context, name, kinds, sized=arguments.on("--size")),
        arguments.text("--format"),
        unknown=NotFound,
    )


def _find(context: Context, name: str, kinds: list[str], *, sized: bool) -> Any:
    for kind in kinds:
        query = {"size": True} if sized and kind == "container" else {}
        try:
            return context.engine.get(_path(kind, name), **query)
        except ApiError as error:
            if error.status != 404:
                raise
    raise NotFound(f"No such {kinds[0] if len(kinds) == 1 else 'object'}: {name}")


def _path(kind: str, name: str) -> str:
    if kind == "container":
        return container_path(name, "/json")
    return image_path(name, "/json") if kind == "image" else object_path(f"{kind}s", name)


INSPECT = Command(
    _run,
    words="NAME [NAME...]",
    least=1,
    flags=(
        Flag(
            "-f",
            "--format",
            takes="FORMAT",
            parse=check_format,
            help="What to print of each: '{{.State.Status}}', a path, '{{json .Config}}', or json",
        ),
        Flag("-s", "--size", help="With the sizes of containers"),
        Flag(
            "--type", takes="KIND", parse=_kind, help="Only a container, image, network or volume"
        ),
    ),
    examples=(
        "hyper inspect web",
        "hyper inspect -f State.Status web",
        "hyper inspect --type volume data",
    ),
)
