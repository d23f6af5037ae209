"""``hyper pull``, and the pull that ``run`` and ``create`` do first."""

from __future__ import annotations

import os
import sys

from hyper.cli import app_images, transport
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
    source: str | None = None,
) -> str:
    """The name of ``image``, which (or whose whole repository) the daemon has now; ``output`` showed progress. An id
    where ``image`` is that of an engine, which may know the image by another one.

    ``source``: "nearest" is a container engine of the daemon's host or else the registry, "local" only the former, None
    the registry. Docker's daemon pulls from the registry in each case.

    Raises:
        ApiError: the image could not be fetched.
    """
    name, tag = split_reference(image)
    auth = auth_header(image, os.environ)
    response = context.engine.open(
        "POST",
        "/images/create",
        {
            "fromImage": name,
            "tag": None if all_tags else tag,
            "platform": platform,
            "source": source,
        },
        headers=(("X-Registry-Auth", auth),) if auth else (),
    )
    ids = follow(messages(response), output)
    return ids[0] if ids else image


def pull_for_run(
    context: Context, image: str, *, platform: str | None, quiet: bool, missing: bool
) -> str:
    """The name of the image, pulled for ``run``: progress is on standard error, for standard output is the container's.

    ``missing``: the image is not here, any that a container engine of the daemon's host has will do.
    """
    if missing:
        say(f"Unable to find image '{full_name(image)}' locally")
    output = None if quiet else sys.stderr
    source = "nearest" if missing else None
    try:
        return pull(context, image, platform=platform, output=output, source=source)
    except ApiError as error:
        return app_images.discover(context, image, error, output)[0]


def _run(context: Context, arguments: Arguments) -> int:
    image = arguments.words[0]
    quiet = arguments.on("--quiet")
    output = None if quiet else sys.stdout
    if app_images.is_meant(image):
        _tell_made(app_images.bring(context, image, output))
        return 0
    every = arguments.on("--all-tags")
    elsewhere = transport.parse(image)
    if elsewhere is not None:
        transport.forbid(elsewhere, "--all-tags" if every else None)
        transport.forbid(elsewhere, "--platform" if arguments.given("--platform") else None)
        print(transport.bring(context, elsewhere, quiet=quiet, again=True))
        return 0
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
        "hyper pull docker-daemon:nginx",
        "hyper pull https://example.com/app.aci",
        "hyper pull aci:example.com/app:1.0",
    ),
)
