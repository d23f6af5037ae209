"""A command on several objects: it goes on after a failure, reports each, and ends with 1 if there was any."""

from __future__ import annotations

from hyper.cli.context import say, tell
from hyper.client.errors import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def for_each(names: Sequence[str], action: Callable[[str], object], *, echo: bool = True) -> int:
    """Call ``action`` with each name; print what it returns if a string, the name if None, nothing if False.

    Returns 0, or 1 if the daemon refused any. Other errors (no daemon) end it at once.
    """
    status = 0
    for name in names:
        try:
            said = action(name)
        except ApiError as error:
            say(f"hyper: {error}")
            status = 1
            continue
        if said is None and echo:
            tell(name)
        elif isinstance(said, str):
            tell(said)
    return status
