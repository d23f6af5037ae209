"""Small numbers that several daemons of one host share out among themselves: each owner has one, no two have the same.

A number stays its owner's until the owner gives it back or the host boots (the book lies in /run), even while the owner
does not run: what it left running may still go by that number.
"""

from __future__ import annotations

import json
from pathlib import Path

from hyper.errors import HyperError, reason
from hyper.system import files, lock


def claim(book: Path, owner: str, *, preferred: int, count: int) -> int:
    """The number of ``owner``, 0 to ``count`` - 1: its present one, or the first free one from ``preferred`` on.

    Raises:
        HyperError: all are taken, or the book cannot be read. OSError: nor written.
    """
    with lock.exclusively(_lock(book)):
        owners = _read(book)
        number = _of(owner, owners)
        if number is None:
            ring = ((preferred + step) % count for step in range(count))
            number = next((number for number in ring if number not in owners), None)
        if number is None:
            raise HyperError(f"all {count} numbers in {book} are taken", hint=_hint(book))
        _write(book, owners | {number: owner})
    return number


def give_back(book: Path, owner: str) -> None:
    """The owner ``owner`` has no number. Raises: as ``claim``."""
    with lock.exclusively(_lock(book)):
        _write(book, {number: name for number, name in _read(book).items() if name != owner})


def _of(owner: str, owners: dict[int, str]) -> int | None:
    return next((number for number, name in owners.items() if name == owner), None)


def _lock(book: Path) -> Path:
    return book.with_suffix(".lock")


def _hint(book: Path) -> str:
    return f"stop every hyperd of this host and their machines, then remove {book}"


def _read(book: Path) -> dict[int, str]:
    try:
        return {int(number): str(name) for number, name in json.loads(book.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise HyperError(f"cannot read {book}: {reason(error)}", hint=_hint(book)) from error


def _write(book: Path, owners: dict[int, str]) -> None:
    if owners:
        files.write_atomically(book, json.dumps(owners).encode(), durable=False)
    else:
        book.unlink(missing_ok=True)
