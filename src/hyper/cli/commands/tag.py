"""``hyper tag``."""

from __future__ import annotations

from hyper.cli.flags import Command
from hyper.cli.reference import split_reference
from hyper.client.engine import image_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments


def _run(context: Context, arguments: Arguments) -> int:
    source, target = arguments.words
    name, tag = split_reference(target)
    context.engine.post(image_path(source, "/tag"), repo=name, tag=tag)
    return 0


TAG = Command(
    _run,
    words="IMAGE NEW_NAME[:TAG]",
    least=2,
    most=2,
    examples=("hyper tag nginx localhost:5000/nginx:mine",),
)
