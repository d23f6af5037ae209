"""``hyper pull``, and the pull that ``run`` and ``create`` do first."""

from __future__ import annotations

import os
import sys

from hyper.cli.context import say
from hyper.cli.flags import Command, Flag
from hyper.cli.progress import follow
from hyper.client.credentials import auth_header
from hyper.client.engine import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments


def split_reference(image: str) -> tuple[str, str]:
    """Name and tag (or digest) of an image; ``latest`` where it says neither."""
    name, at, digest = image.partition("@")
    if at:
        return name, digest
    head, colon, tag = image.rpartition(":")
    if colon and "/" not in tag:
        return head, tag
    return image, "latest"


def full_name(image: str) -> str:
    """``image`` with its tag or digest, as messages name it."""
    name, tag = split_reference(image)
    return f"{name}{'@' if ':' in tag else ':'}{tag}"


def pull(context: Context, image: str, *, platform: str | None, output: TextIO | None) -> None:
    """The daemon has ``image``; how it went was shown on ``output``.

    Raises:
        ApiError: it could not be fetched.
    """
    name, tag = split_reference(image)
    auth = auth_header(image, os.environ)
    response = context.engine.open(
        "POST",
        "/images/create",
        {"fromImage": name, "tag": tag, "platform": platform},
        headers=(("X-Registry-Auth", auth),) if auth else (),
    )
    follow(messages(response), output)


def pull_missing(
    context: Context, image: str, *, platform: str | None, quiet: bool, announce: bool
) -> None:
    """Pull for ``run``: on standard error, since standard output belongs to the container."""
    if announce:
        say(f"Unable to find image '{full_name(image)}' locally")
    pull(context, image, platform=platform, output=None if quiet else sys.stderr)


def _run(context: Context, arguments: Arguments) -> int:
    image = arguments.words[0]
    quiet = arguments.on("--quiet")
    if not quiet and full_name(image) != image:
        print("Using default tag: latest", flush=True)
    platform = arguments.text("--platform")
    pull(context, image, platform=platform, output=None if quiet else sys.stdout)
    print(_familiar(full_name(image)))
    return 0


def _familiar(name: str) -> str:
    """The name with its registry, as docker prints it in the end."""
    first, slash, _ = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return name
    return f"docker.io/{name}" if slash else f"docker.io/library/{name}"


PULL = Command(
    _run,
    words="IMAGE[:TAG|@DIGEST]",
    least=1,
    most=1,
    flags=(
        Flag("--platform", takes="OS/ARCH", help="Variant of the image to fetch"),
        Flag("-q", "--quiet", help="Print only the image's name"),
    ),
    examples=("hyper pull nginx", "hyper pull localhost:5000/nginx:1.27"),
)
