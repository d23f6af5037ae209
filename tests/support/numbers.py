"""The book in which daemons of one host write down their numbers, read from outside."""

from __future__ import annotations

import json
from pathlib import Path


def number_of(book: Path, owner: str) -> int | None:
    """The number that ``owner`` has; None: none, or there is no book."""
    if not book.exists():
        return None
    owners: dict[str, str] = json.loads(book.read_bytes())
    return next((int(number) for number, name in owners.items() if name == owner), None)
