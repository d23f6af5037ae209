"""What a daemon holds open: after a block it has as many descriptors as before."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.hyperd import Hyperd


def descriptors(daemon: Hyperd) -> list[str]:
    """What they are, sorted: a path each, or ``socket``, ``pipe``, ``anon_inode``."""
    found = []
    for entry in Path(f"/proc/{daemon.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(entry.readlink()).partition(":")[0])
    return sorted(found)


#: Streams to its agent, monitor and console, its TAP, what tells of its end, and its standard error.
OF_A_WAITING_MACHINE = 7


def _waiting(daemon: Hyperd) -> int:
    """How many machines wait, once as many do as should; none where the daemon keeps none."""
    status, body = daemon.api.raw("GET", "/hyper/v1/pool?wait=1")
    return sum(shelf["Waiting"] for shelf in json.loads(body)["Shelves"]) if status == 200 else 0


#: How long a daemon may take to see who has left, on a machine that is busy with other tests.
SOON_S = 60.0


def turns(daemon: Hyperd) -> Iterator[None]:
    """Again and again until it is too late: the daemon's loop has turned once more."""
    until = time.monotonic() + SOON_S
    while time.monotonic() < until:
        daemon.api.get("/_ping")
        yield


@contextlib.contextmanager
def nothing_is_kept(daemon: Hyperd, *, more: int = 0) -> Iterator[None]:
    """After the block the daemon soon has as many descriptors as before, and at most ``more`` besides.

    Those of machines that wait for a start do not count: there may be more of them or fewer now.
    """
    # Not /info: a daemon that is first asked tries its hypervisors, beside the answer.
    daemon.api.get("/_ping")
    waiting = _waiting(daemon)
    before = descriptors(daemon)
    yield
    more += (_waiting(daemon) - waiting) * OF_A_WAITING_MACHINE
    after: list[str] = []
    for _ in turns(daemon):
        after = descriptors(daemon)
        if len(after) <= len(before) + more:
            return
    assert after == before
