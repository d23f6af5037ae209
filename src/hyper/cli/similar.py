"""What the person may have meant by the name of a container that is not there."""

from __future__ import annotations

import re

from hyper.cli.flags import suggestion
from hyper.client.errors import ApiError
from hyper.errors import HyperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.context import Context

_MISSING = re.compile(r"No such container: (\S+)")


def hint(context: Context, error: HyperError) -> str | None:
    """A hint for ``error``: containers whose names are like the missing one's. None for every other error."""
    found = _MISSING.search(error.message) if isinstance(error, ApiError) else None
    if found is None or error.hint is not None:
        return error.hint
    try:
        boxes = context.existing_engine().get("/containers/json", all=True)
    except HyperError:
        return None  # The error that there is must not be hidden by another.
    names = [name.removeprefix("/") for box in boxes for name in box.get("Names") or ()]
    return suggestion(found[1], names)
