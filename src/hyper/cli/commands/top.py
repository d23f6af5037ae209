"""``hyper top``."""

from __future__ import annotations

import sys

from hyper.cli.columns import aligned
from hyper.cli.flags import Command
from hyper.client.engine import container_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

_WIDTH = 20


def _run(context: Context, arguments: Arguments) -> int:
    name, *options = arguments.words
    found = context.engine.get(container_path(name, "/top"), ps_args=" ".join(options) or None)
    rows = [found["Titles"], *(found.get("Processes") or ())]
    sys.stdout.write(aligned(rows, least=_WIDTH))
    return 0


TOP = Command(
    _run,
    words="CONTAINER [PS_OPTION...]",
    least=1,
    passes_on=True,
    examples=("hyper top web", "hyper top web -o pid,user,args"),
)
