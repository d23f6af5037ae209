"""``hyper inspect``."""

from __future__ import annotations

from hyper.cli.flags import Command, Flag
from hyper.cli.listing import check_format
from hyper.cli.objects import inspect
from hyper.client.engine import container_path, image_path
from hyper.client.errors import ApiError
from hyper.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

_KINDS = ("container", "image")


def _kind(text: str) -> str:
    if text not in _KINDS:
        raise ValueError("use container or image")
    return text


def _run(context: Context, arguments: Arguments) -> int:
    kinds = [arguments.text("--type") or ""] if arguments.given("--type") else list(_KINDS)
    return inspect(
        arguments.words,
        lambda name: _find(context, name, kinds),
        arguments.text("--format"),
        unknown=NotFound,
    )


def _find(context: Context, name: str, kinds: list[str]) -> Any:
    for kind in kinds:
        path = container_path(name, "/json") if kind == "container" else image_path(name, "/json")
        try:
            return context.engine.get(path)
        except ApiError as error:
            if error.status != 404:
                raise
    raise NotFound(f"No such {kinds[0] if len(kinds) == 1 else 'container or image'}: {name}")


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
        Flag("--type", takes="KIND", parse=_kind, help="Only a container, or only an image"),
    ),
    examples=("hyper inspect web", "hyper inspect -f State.Status web"),
)
