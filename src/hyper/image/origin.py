"""The origin of an image: how it comes here, and how long that takes."""

from __future__ import annotations

import time
from collections.abc import Callable

from hyper.image.record import Origin

#: Called when the image can be used.
Finish = Callable[[], Origin]


def coming(kind: str, place: str = "") -> Finish:
    """The coming of an image, which begins now; the words are `Origin`'s."""
    began = time.monotonic()
    return lambda: Origin(kind, place, round((time.monotonic() - began) * 1000))
