"""``hyper images`` and ``hyper rmi``."""

from __future__ import annotations

from hyper.cli.ago import local_time, since
from hyper.cli.context import tell
from hyper.cli.each import for_each
from hyper.cli.flags import Command, Flag
from hyper.cli.listing import FILTER, FORMAT, NO_TRUNC, QUIET, filters, show
from hyper.client.engine import image_path
from hyper.client.errors import ApiError
from hyper.units import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

_NONE = "<none>"
_HEADINGS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "Size": "SIZE",
}


def image_rows(found: dict[str, Any], *, whole: bool) -> Iterator[dict[str, Any]]:
    """A line for each name of an image, at least one."""
    tags = [t for t in found.get("RepoTags") or () if t != f"{_NONE}:{_NONE}"]
    digests = dict(d.rsplit("@", 1) for d in found.get("RepoDigests") or ())
    for tag in tags or [""]:
        name, _, label = tag.rpartition(":")
        if not tag and digests:
            name = next(iter(digests))
        yield {
            "Repository": name or _NONE,
            "Tag": label or _NONE,
            "Digest": digests.get(name, _NONE),
            "ID": found["Id"] if whole else found["Id"].removeprefix("sha256:")[:12],
            "CreatedAt": local_time(found.get("Created", 0)),
            "CreatedSince": since(found.get("Created", 0)),
            "Size": human_size(found.get("Size", 0)),
        }


def _images(context: Context, arguments: Arguments) -> int:
    wanted = filters(arguments)
    if arguments.words:
        wanted.setdefault("reference", []).append(arguments.words[0])
    found = context.engine.get("/images/json", all=arguments.on("--all"), filters=wanted)
    whole = arguments.on("--no-trunc")
    rows = [row for image in found for row in image_rows(image, whole=whole)]
    if arguments.on("--quiet"):
        for identifier in dict.fromkeys(row["ID"] for row in rows):
            tell(identifier)
        return 0
    hidden = () if arguments.on("--digests") else ("Digest",)
    headings = {field: name for field, name in _HEADINGS.items() if field not in hidden}
    show(rows, headings, arguments.text("--format"))
    return 0


def _rmi(context: Context, arguments: Arguments) -> int:
    force = arguments.on("--force")

    def remove(name: str) -> None:
        try:
            done = context.engine.delete(
                image_path(name), force=force, noprune=arguments.on("--no-prune")
            )
        except ApiError as error:
            if not (force and error.status == 404):
                raise
            return
        for entry in done or ():
            for verb, what in entry.items():
                tell(f"{verb}: {what}")

    return for_each(arguments.words, remove, echo=False)


IMAGES = Command(
    _images,
    words="[NAME[:TAG]]",
    most=1,
    flags=(
        Flag("-a", "--all", help="Intermediate ones, too"),
        Flag("--digests", help="Show digests"),
        FILTER,
        FORMAT,
        NO_TRUNC,
        QUIET,
    ),
    examples=("hyper images", "hyper images --format '{{.Repository}}:{{.Tag}} {{.Size}}'"),
)
RMI = Command(
    _rmi,
    words="IMAGE [IMAGE...]",
    least=1,
    flags=(
        Flag("-f", "--force", help="Remove it even if stopped containers use it"),
        Flag("--no-prune", help="Keep its parents without a name"),
    ),
    examples=("hyper rmi nginx:1.26",),
)
