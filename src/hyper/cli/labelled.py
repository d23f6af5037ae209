"""Output of several containers, line by line, each line with its container's name before it."""

from __future__ import annotations

import os
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: Longer lines are broken here: a program that writes none must not fill our memory.
MAX_LINE = 64 * 1024
_COLOURS = (36, 33, 32, 35, 34, 31)


class Labelled:
    """A writer that threads give containers' output to. With one name alone bytes go through as they are.

    ``colour``: names are coloured on descriptors that are terminals.
    """

    def __init__(self, names: Sequence[str], *, colour: bool = True) -> None:
        self._lock = threading.Lock()
        self._parts: dict[tuple[str, int], bytearray] = {}
        self._labels: dict[tuple[str, int], bytes] = {}
        self._alone = len(names) < 2
        width = max((len(name) for name in names), default=0)
        for number, name in enumerate(names):
            for descriptor in (1, 2):
                text = f"{name:<{width}} | "
                if colour and _is_terminal(descriptor):
                    text = f"\x1b[{_COLOURS[number % len(_COLOURS)]}m{text}\x1b[0m"
                self._labels[name, descriptor] = text.encode()

    def write(self, name: str, descriptor: int, data: bytes) -> None:
        """``data``, which ``name`` wrote, is added; its whole lines are on this process's ``descriptor`` afterwards.

        Raises:
            BrokenPipeError: the descriptor's reader has gone.
        """
        with self._lock:
            if self._alone:
                _write(descriptor, data)
                return
            part = self._parts.setdefault((name, descriptor), bytearray())
            part += data
            *lines, rest = bytes(part).split(b"\n")
            if len(rest) > MAX_LINE:
                lines, rest = [*lines, rest], b""
            self._parts[name, descriptor] = bytearray(rest)
            label = self._labels[name, descriptor]
            _write(descriptor, b"".join(b"%b%b\n" % (label, line) for line in lines))

    def end(self, name: str) -> None:
        """``name`` writes no more for now: its unfinished line is written as a line."""
        for descriptor in (1, 2):
            if self._parts.get((name, descriptor)):
                self.write(name, descriptor, b"\n")


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _is_terminal(descriptor: int) -> bool:
    return (
        os.isatty(descriptor)
        and os.environ.get("TERM", "dumb") != "dumb"
        and "NO_COLOR" not in os.environ
    )
