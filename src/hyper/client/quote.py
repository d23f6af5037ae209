"""Paths and queries of a URL (``urllib.parse`` would cost 2 ms of start-up for these twenty lines)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


def quote(text: str, also: str = "") -> str:
    """``text`` with everything but unreserved characters, and those of ``also``, percent-encoded."""
    plain = _PLAIN.union(also.encode())
    return "".join(
        chr(b) if b in plain else f"%{b:02X}" for b in text.encode("utf-8", "surrogateescape")
    )


def encode_query(query: Mapping[str, object]) -> str:
    """The query's text: ``?a=b&c=1`` or "". None, False and empty mappings are left out.

    True is 1, a mapping is JSON, a list is one pair an item.
    """
    pairs = [
        f"{quote(name)}={quote(_as_text(value))}"
        for name, values in query.items()
        for value in (values if isinstance(values, list) else [values])
        if value is not None and value is not False and value != {}
    ]
    return "?" + "&".join(pairs) if pairs else ""


def _as_text(value: object) -> str:
    if value is True:
        return "1"
    if isinstance(value, dict):
        import json  # only for filters: most requests have none

        return json.dumps(value)
    return str(value)
