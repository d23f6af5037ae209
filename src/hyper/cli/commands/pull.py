"""``hyper pull``, and the pull that ``run`` and ``create`` do first."""

from __future__ import annotations

import os
import sys

from hyper.cli import app_images
from hyper.cli.context import say
from hyper.cli.flags import Command, Flag, UsageError
from hyper.cli.progress import follow
from hyper.cli.reference import familiar, full_name, split_reference
from hyper.client.credentials import auth_header
from hyper.client.engine import messages
from hyper.client.errors import ApiError

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
) -> str:
    """Pull for ``run``: on standard error, since standard output belongs to the container. What to call the image."""
    if announce:
        say(f"Unable to find image '{full_name(image)}' locally")
    output = None if quiet else sys.stderr
    try:
        pull(context, image, platform=platform, output=output)
    except ApiError as error:
        return app_images.discover(context, image, error, output)[0]
    return image


def _run(context: Context, arguments: Arguments) -> int:
    image = arguments.words[0]
    quiet = arguments.on("--quiet")
    output = None if quiet else sys.stdout
    if app_images.is_meant(image):
        _tell_made(app_images.bring(context, image, output))
        return 0
    every = arguments.on("--all-tags")
    bare = full_name(image) != image
    if every and not bare:
        raise UsageError("tag can't be used with --all-tags/-a")
    if not quiet and bare and not every:
        print("Using default tag: latest", flush=True)
    try:
        pull(context, image, platform=arguments.text("--platform"), output=output, all_tags=every)
    except ApiError as error:
        if every:
            raise
        _tell_made(app_images.discover(context, image, error, output))
        return 0
    print(familiar(image if every else full_name(image)))
    return 0


def _tell_made(made: tuple[str, str]) -> None:
    identifier, name = made
    print(name or identifier)


PULL = Command(
    _run,
    words="IMAGE[:TAG|@DIGEST]|URL|FILE.aci",
    least=1,
    most=1,
    flags=(
        Flag("-a", "--all-tags", help="Everything that the repository has"),
        Flag("--platform", takes="OS/ARCH", help="Variant of the image to fetch"),
        Flag("-q", "--quiet", help="Print only the image's name"),
    ),
    examples=(
        "hyper pull nginx",
        "hyper pull localhost:5000/nginx:1.27",
        "hyper pull https://example.com/app.aci",
        "hyper pull aci:example.com/app:1.0",
    ),
)
