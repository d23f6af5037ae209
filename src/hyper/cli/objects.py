"""Objects of all families (volumes, networks, images, containers): inspect and order, which they have in common."""

from __future__ import annotations

import json
import re

from hyper.cli.context import say, tell
from hyper.cli.selector import compile_format
from hyper.client.errors import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

_DIGITS = re.compile(r"(\d+)")


def inspect(
    names: Sequence[str],
    find: Callable[[str], Any],
    format_text: str | None,
    *,
    unknown: type[Exception] = ApiError,
) -> int:
    """Print the object that ``find`` has for each name, all as one JSON list, or each in the format ``format_text``.

    Returns 0, or 1 if ``find`` raised ``unknown`` for one of them; the others are printed all the same.
    """
    found, failed = [], 0
    for name in names:
        try:
            found.append(find(name))
        except unknown as error:
            say(f"hyper: {error}")
            failed = 1
    if format_text is None:
        tell(json.dumps(found, indent=4, ensure_ascii=False))
        return failed
    render = compile_format(format_text)
    for item in found:
        tell(render(item))
    return failed


def natural(text: str) -> list[tuple[int, int, str]]:
    """A key to sort names by, in which ``web2`` comes before ``web10``."""
    parts = _DIGITS.split(text)
    return [(0, int(p), "") if i % 2 else (1, 0, p) for i, p in enumerate(parts) if p or i % 2]


def labels_of(found: dict[str, Any]) -> str:
    """The labels of an object in one cell: ``a=b,c=d``."""
    return ",".join(f"{k}={v}" for k, v in sorted((found.get("Labels") or {}).items()))
