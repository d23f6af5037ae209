"""Untrusted text on the user's terminal: names, commands, paths and errors of images, guests and registries.

A terminal takes control characters for orders: to move the cursor, to change the title, to answer as if typed. Here
they become their escapes as text (``\\x1b``), as do characters that turn the direction of writing. Output of a program
in a container passes as it is: that is between the program and the user who attached.

Tables and messages are safe wherever they go, everything else on standard output where that is a terminal: a file gets
every byte.
"""

from __future__ import annotations

import io
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

#: C0 but tab and newline, DEL, C1; marks and overrides of direction, isolates, line and paragraph separators.
_CONTROLS = [*range(9), *range(11, 32), *range(127, 160)]
_TURNING = [0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
_SHOWN = {code: f"\\x{code:02x}" for code in _CONTROLS} | {
    code: f"\\u{code:04x}" for code in _TURNING
}
_CELL = _SHOWN | {9: "\\t", 10: "\\n"}


def shown(text: str) -> str:
    """``text`` as it is safe for a terminal; tabs and newlines stay."""
    return text if text.isprintable() else text.translate(_SHOWN)


def cell(text: str) -> str:
    """``text`` as one word of a table."""
    return text if text.isprintable() else text.translate(_CELL)


class SafeTerminal(io.TextIOWrapper):
    """A terminal that gets text only as ``shown``; ``paint`` is for orders of the command itself."""

    def write(self, text: str) -> int:
        super().write(shown(text))
        return len(text)

    def paint(self, text: str) -> None:
        """Write ``text`` as it is."""
        super().write(text)


def guard() -> None:
    """Standard output and error, where they are terminals, are `SafeTerminal`."""
    for name in ("stdout", "stderr"):
        stream: TextIO | None = getattr(sys, name)
        if stream is not None and stream.isatty():
            safe = SafeTerminal(
                stream.buffer, encoding=stream.encoding, errors=stream.errors, line_buffering=True
            )
            setattr(sys, name, safe)


def paint(stream: TextIO, text: str) -> None:
    """Write orders to the terminal; ``text`` has nothing untrusted."""
    (stream.paint if isinstance(stream, SafeTerminal) else stream.write)(text)
