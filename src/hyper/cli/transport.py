"""Images that are named by where they are: ``oci:/dir:tag`` and its kin, as skopeo and podman write them.

A path ends at its first colon, as there. Source: containers-transports(5).
"""

from __future__ import annotations

import os
import sys

from hyper.cli.flags import LocalError, UsageError
from hyper.client.engine import image_path, messages
from hyper.client.errors import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from hyper.cli.context import Context
    from hyper.cli.imagebox import Box
    from hyper.cli.layout import Plan

OCI, OCI_ARCHIVE, DOCKER_ARCHIVE, DOCKER_DAEMON = "oci", "oci-archive", "docker-archive", "docker-daemon"  # fmt: skip
_FORMS = {
    OCI: "oci:FOLDER[:TAG]",
    OCI_ARCHIVE: "oci-archive:FILE[:TAG]",
    DOCKER_ARCHIVE: "docker-archive:FILE[:NAME[:TAG]]",
    DOCKER_DAEMON: "docker-daemon:NAME[:TAG]",
}


class Source:
    """The parts of such a name. ``choice``: which image of several, "" if the name does not say."""

    __slots__ = ("choice", "kind", "path", "text")

    def __init__(self, text: str, kind: str, path: str, choice: str) -> None:
        self.text = text
        self.kind = kind
        self.path = path
        self.choice = choice


def parse(image: str) -> Source | None:
    """The source that ``image`` names; None for a plain name.

    Raises:
        UsageError: the name has a transport, but not the form of one.
    """
    kind, colon, rest = image.partition(":")
    if not colon or kind not in _FORMS:
        return None
    if kind == DOCKER_DAEMON:
        if not rest:
            raise _malformed(image, kind)
        return Source(image, kind, rest, "")
    path, colon, choice = rest.partition(":")
    if not path or (colon and not choice):
        raise _malformed(image, kind)
    return Source(image, kind, path, choice)


def _malformed(image: str, kind: str) -> UsageError:
    return UsageError(f"{image!r} names no image", hint=f"the form is {_FORMS[kind]}")


def forbid(source: Source, flag: str | None) -> None:
    """Raise UsageError where ``flag`` was given: it makes no sense for an image that is not in a registry."""
    if flag is not None:
        raise UsageError(f"{flag} cannot be said of {source.text}, which is no image of a registry")


def bring(
    context: Context, source: Source, *, quiet: bool, again: bool, platform: str | None = None
) -> str:
    """The name of the image at ``source``, which the daemon has now; progress was shown on standard error.

    ``again``: also when the daemon has the image already (its names may have moved). ``platform``: the one that
    another engine's image must be for.

    Raises:
        LocalError: no such file, no such image in it, or several of them. ApiError: the daemon refuses it.
    """
    if source.kind == DOCKER_DAEMON:
        from hyper.cli.commands.pull import pull

        output = None if quiet else sys.stderr
        return pull(context, source.path, platform=platform, output=output, source="local")
    return _load(context, source, quiet=quiet, again=again)


def _load(context: Context, source: Source, *, quiet: bool, again: bool) -> str:
    from hyper.cli.layout import archive

    with _opened(source) as box:
        plan = _plan(context, source, box)
        if not again and plan.image_id and _is_there(context, plan.image_id):
            return plan.image_id
        ids = _upload(context, archive(box, plan), quiet=quiet)
    if len(ids) != 1 or plan.image_id not in ("", ids[0]):
        raise LocalError(
            f"{source.text}: the daemon does not say that it loaded that image",
            hint="hyper load reads the whole archive",
        )
    return ids[0]


def _plan(context: Context, source: Source, box: Box) -> Plan:
    from hyper.cli.layout import plan_docker, plan_oci

    if source.kind == DOCKER_ARCHIVE:
        return plan_docker(box, source.choice)
    return plan_oci(box, source.choice, lambda: str(context.engine.get("/version")["Arch"]))


def _opened(source: Source) -> AbstractContextManager[Box]:
    from hyper.cli.imagebox import opened_archive, opened_folder

    whole = f"{source.path}:{source.choice}"
    # Not os.path.exists of the whole alone: a path that is there means itself.
    if source.choice and not os.path.exists(source.path) and os.path.exists(whole):  # noqa: PTH110
        raise LocalError(
            f"{source.text}: there is no {source.path}",
            hint=f"a path ends at its first colon: {whole} needs a link or a name without one",
        )
    return (opened_folder if source.kind == OCI else opened_archive)(source.path)


def _is_there(context: Context, image_id: str) -> bool:
    try:
        context.engine.get(image_path(image_id, "/json"))
    except ApiError as error:
        if error.status != 404:
            raise
        return False
    return True


def _upload(context: Context, pieces: Iterator[bytes], *, quiet: bool) -> list[str]:
    """The ids of the images loaded."""
    from hyper.cli.progress import follow

    query = {"ids": True, "quiet": quiet or not sys.stderr.isatty()}
    response = context.engine.upload("POST", "/images/load", pieces, query)
    return follow(messages(response), None if quiet else sys.stderr)
