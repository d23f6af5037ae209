"""The tail of a machine's serial console, made safe to print."""

from __future__ import annotations

import re
import socket

from hyper.system.pipe import Tail

TAIL_BYTES = 8192
#: CSI and OSC sequences, and single-character escapes: a guest must not drive the terminal of who reads this.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")


def printable(data: bytes) -> str:
    """The bytes ``data`` as text: escape sequences gone, other control characters but newline and tab replaced."""
    text = _ESCAPES.sub("", data.decode("utf-8", "replace")).replace("\r\n", "\n")
    return "".join(c if c in "\n\t" or c.isprintable() else "�" for c in text)


class Console:
    """The reader of one console's connection, until that ends. Must be made in a running loop."""

    def __init__(self, stream: socket.socket) -> None:
        self._tail = Tail(stream.detach(), limit=TAIL_BYTES)

    def text(self) -> str:
        """The last ≤ 8 KiB of the console, printable."""
        return printable(self._tail.data)

    def drain(self) -> str:
        """The last ≤ 8 KiB of the console, printable, after taking in what a dead machine left behind."""
        return printable(self._tail.drain())

    def close(self) -> None:
        """Hang up the console's connection."""
        self._tail.close()
