"""How an image comes here, and how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable

from hyper.image.record import Origin

#: Called when the image can be used.
Finish = Callable[[], Origin]


def coming(kind: str, place: str = "") -> Finish:
    """An image begins to come here now; the words are `Origin`'s."""
    began = time.monotonic()
    return lambda: Origin(kind, place, round((time.monotonic() - began) * 1000))
