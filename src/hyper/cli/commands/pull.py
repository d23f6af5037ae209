"""``hyper pull``, and the pull that ``run`` and ``create`` do first."""

from __future__ import annotations

import os
import sys

from hyper.cli.context import say
from hyper.cli.flags import Command, Flag, UsageError
from hyper.cli.progress import follow
from hyper.cli.reference import familiar, full_name, split_reference
from hyper.client.credentials import auth_header
from hyper.client.engine import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments


def pull(
    context: Context,
    image: str,
    *,
    platform: str | None,
    output: TextIO | None,
    all_tags: bool = False,
) -> None:
    """The daemon has ``image`` (or all of its repository); how it went was shown on ``output``.

    Raises:
        ApiError: it could not be fetched.
    """
    name, tag = split_reference(image)
    auth = auth_header(image, os.environ)
    response = context.engine.open(
        "POST",
        "/images/create",
        {"fromImage": name, "tag": None if all_tags else tag, "platform": platform},
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
    every = arguments.on("--all-tags")
    bare = full_name(image) != image
    if every and not bare:
        raise UsageError("tag can't be used with --all-tags/-a")
    if not quiet and bare and not every:
        print("Using default tag: latest", flush=True)
    output = None if quiet else sys.stdout
    pull(context, image, platform=arguments.text("--platform"), output=output, all_tags=every)
    print(familiar(image if every else full_name(image)))
    return 0


PULL = Command(
    _run,
    words="IMAGE[:TAG|@DIGEST]",
    least=1,
    most=1,
    flags=(
        Flag("-a", "--all-tags", help="Everything that the repository has"),
        Flag("--platform", takes="OS/ARCH", help="Variant of the image to fetch"),
        Flag("-q", "--quiet", help="Print only the image's name"),
    ),
    examples=("hyper pull nginx", "hyper pull localhost:5000/nginx:1.27"),
)
