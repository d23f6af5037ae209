"""Signals by name and number. Pure."""

from __future__ import annotations

import re
import signal
from typing import Final

from hyper.errors import InvalidRequest

#: Real-time signals of Linux, but for the two that C libraries keep for themselves.
_RTMIN: Final = 34
_RTMAX: Final = 64


def signal_number(text: str) -> int:
    """The number of ``SIGTERM``, ``TERM``, ``15``, ``RTMIN+3``.

    Raises:
        InvalidRequest: no such signal (Docker's words).
    """
    if re.fullmatch("[0-9]{1,2}", text) and 0 < int(text) <= 64:
        return int(text)
    name = text.upper().removeprefix("SIG")
    real_time = re.fullmatch(r"RT(MIN|MAX)(?:([+-])([0-9]{1,2}))?", name)
    if real_time and real_time[2] in (None, "+" if real_time[1] == "MIN" else "-"):
        base, _, offset = real_time.groups(default="0")
        number = _RTMIN + int(offset) if base == "MIN" else _RTMAX - int(offset)
        if _RTMIN <= number <= _RTMAX:
            return number
    try:
        return signal.Signals[f"SIG{name}"].value
    except KeyError:
        raise InvalidRequest(f"invalid signal: {text[:100]}") from None
