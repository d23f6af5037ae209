"""``hyper push``."""

from __future__ import annotations

import os
import sys

from hyper.cli.context import tell
from hyper.cli.flags import Command, Flag, LocalError
from hyper.cli.progress import follow
from hyper.cli.reference import familiar, full_name, split_reference
from hyper.client.credentials import auth_header, no_auth
from hyper.client.engine import image_path, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments


def _run(context: Context, arguments: Arguments) -> int:
    image = arguments.words[0]
    every, quiet = arguments.on("--all-tags"), arguments.on("--quiet")
    name, tag = split_reference(image)
    has_tag = full_name(image) == image
    if every and has_tag:
        raise LocalError("tag can't be used with --all-tags/-a")
    if not (every or has_tag or quiet):
        tell("Using default tag: latest")
    response = context.engine.open(
        "POST",
        image_path(name, "/push"),
        {"tag": None if every else tag},
        # The API demands the header, also where there is nothing to say.
        headers=(("X-Registry-Auth", auth_header(image, os.environ) or no_auth()),),
    )
    follow(messages(response), None if quiet else sys.stdout)
    if quiet:
        tell(familiar(image if every else full_name(image)))
    return 0


PUSH = Command(
    _run,
    words="NAME[:TAG]",
    least=1,
    most=1,
    flags=(
        Flag("-a", "--all-tags", help="All tags of that name"),
        Flag("-q", "--quiet", help="Print only the image's name"),
    ),
    examples=("hyper push localhost:5000/nginx:mine", "hyper push -a localhost:5000/nginx"),
)
