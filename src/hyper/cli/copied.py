"""The progress of a copy: one line on a terminal, nothing anywhere else."""

from __future__ import annotations

import sys
import time

from hyper.cli.context import say
from hyper.cli.safe import paint, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: A copy that takes less is not announced, and one that takes more not painted more often.
_INTERVAL_S = 0.25


class Counter:
    """Counter of bytes that pass through :meth:`watch`; leaving it wipes its line."""

    def __init__(self, direction: str, *, quiet: bool) -> None:
        self._text = f"Copying {direction} container - "
        self._shows = not quiet and sys.stderr.isatty()
        self._painted = False
        self._next = time.monotonic() + _INTERVAL_S
        self.count = 0

    def __enter__(self) -> Counter:
        return self

    def __exit__(self, *_: object) -> None:
        self._wipe()

    def watch(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The pieces of ``pieces``, counted as they pass."""
        for piece in pieces:
            self.count += len(piece)
            if self._shows and time.monotonic() >= self._next:
                self._next = time.monotonic() + _INTERVAL_S
                self._painted = True
                paint(sys.stderr, f"\r{shown(self._text)}{_size(self.count)}\x1b[K")
                sys.stderr.flush()
            yield piece

    def succeed(self, target: str) -> None:
        """Say that the whole copy is at ``target``."""
        self._wipe()
        if self._shows:
            say(f"Successfully copied {_size(self.count)} to {target}")

    def _wipe(self) -> None:
        if self._painted:
            self._painted = False
            paint(sys.stderr, "\r\x1b[K")
            sys.stderr.flush()


def _size(count: int) -> str:
    from hyper.units import human_size

    return human_size(count)
