"""Names that the user may have meant by the name of a container or a pod that is not there."""

from __future__ import annotations

import re

from hyper.cli.flags import suggestion
from hyper.cli.pods import PODS
from hyper.client.errors import ApiError
from hyper.errors import HyperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hyper.cli.context import Context

_MISSING = re.compile(r"No such (container|pod): (\S+)")


def hint(context: Context, error: HyperError) -> str | None:
    """A hint for ``error``: names like that of a missing container or pod; for any other error its own, or None."""
    found = _MISSING.search(error.message) if isinstance(error, ApiError) else None
    if found is None or error.hint is not None:
        return error.hint
    try:
        names = _names(context, found[1])
    except HyperError:
        return None  # The error that there is must not be hidden by another.
    return suggestion(found[2], names)


def _names(context: Context, kind: str) -> list[str]:
    engine = context.existing_engine()
    if kind == "pod":
        return [pod["Name"] for pod in engine.get(PODS)]
    boxes = engine.get("/containers/json", all=True)
    return [name.removeprefix("/") for box in boxes for name in box.get("Names") or ()]
