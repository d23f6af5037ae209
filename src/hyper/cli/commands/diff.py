"""``hyper diff``."""

from __future__ import annotations

from hyper.cli.context import tell
from hyper.cli.flags import Command
from hyper.client.engine import container_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.context import Context
    from hyper.cli.flags import Arguments

#: Changed, added, deleted: the API's numbers.
_KINDS = "CAD"


def _run(context: Context, arguments: Arguments) -> int:
    changes = context.engine.get(container_path(arguments.words[0], "/changes"))
    for change in changes or ():
        tell(f"{_KINDS[change['Kind']]} {change['Path']}")
    return 0


DIFF = Command(_run, words="CONTAINER", least=1, most=1, examples=("hyper diff web",))
