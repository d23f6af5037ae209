"""The progress of a pull, a push or a load: bars, one line a layer, where there is a terminal; plain lines otherwise.

The cursor is moved by forty lines here: ``rich`` would cost 45 ms before the first byte.
"""

from __future__ import annotations

import os

from hyper.cli.safe import paint, shown
from hyper.client.errors import ApiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TextIO

_BAR = 30


def follow(stream: Iterable[dict[str, Any]], output: TextIO | None) -> list[str]:
    """The ids of images in ``stream``, whose messages were shown on ``output`` (None: nowhere) until its end.

    Raises:
        ApiError: the stream tells of a failure.
    """
    display = Display(output) if output is not None else None
    ids: list[str] = []
    for message in stream:
        detail = message.get("errorDetail") or {}
        if "error" in message or detail:
            raise ApiError(str(detail.get("message") or message.get("error")), status=500)
        if "ID" in (message.get("aux") or {}):
            ids.append(str(message["aux"]["ID"]))
        if display is not None and ("status" in message or "stream" in message):
            display.show(message)
    return ids


class Display:
    """A display of lines: on a terminal they are painted again as they change, elsewhere written one by one."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._is_terminal = output.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._rows: dict[str, int] = {}

    def show(self, message: dict[str, Any]) -> None:
        """Show one message of the stream."""
        layer = message.get("id", "")
        detail = message.get("progressDetail") or {}
        text = _line(layer, message, detail if self._is_terminal else {})
        if self._is_terminal and layer and "progressDetail" in message:
            self._repaint(layer, text)
        elif not (detail and not self._is_terminal):
            self._output.write(text + "\n")
            # What follows a plain line must not be painted above it.
            self._rows.clear()
        self._output.flush()

    def _repaint(self, layer: str, text: str) -> None:
        if layer not in self._rows:
            self._rows[layer] = len(self._rows)
            self._output.write("\n")
        up = len(self._rows) - self._rows[layer]
        columns, rows = _size_of(self._output)
        # A line that has scrolled away cannot be reached: the cursor would stop at the top, on another.
        if up < rows:
            paint(self._output, f"\x1b[{up}A\r\x1b[2K{text[: columns - 1]}\x1b[{up}B\r")


def _size_of(output: TextIO) -> tuple[int, int]:
    """The size of the terminal: columns and rows."""
    try:
        columns, rows = os.get_terminal_size(output.fileno())
    except OSError:
        columns, rows = 0, 0
    return columns or 80, rows or 24


def _line(layer: str, message: dict[str, Any], detail: dict[str, Any]) -> str:
    prefix = f"{layer}: " if layer else ""
    text = shown(prefix + str(message.get("status") or message.get("stream") or "").rstrip("\n"))
    current, total = detail.get("current"), detail.get("total")
    if not current:
        return text
    if not total:
        return f"{text} {_size(current)}"
    filled = min(_BAR, _BAR * current // total)
    bar = "━" * filled + " " * (_BAR - filled)
    return f"{text:<28} [{bar}] {_size(current)}/{_size(total)}"


def _size(count: float) -> str:
    from hyper.units import human_size

    return human_size(count)
