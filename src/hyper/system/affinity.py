"""The CPUs that a process may run on.

Source: sched_setaffinity(2), proc(5) "/proc/pid/task".
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final

#: New threads inherit what their parent has: two looks that find nothing new have seen all. More is refused.
_MAX_LOOKS: Final = 16


def available() -> frozenset[int]:
    """The CPUs this process may use."""
    return frozenset(os.sched_getaffinity(0))


def set_all(pid: int, cpus: Collection[int]) -> None:
    """The threads of ``pid`` all run on ``cpus`` only; empty: on all that we may use.

    Raises:
        OSError: the process is gone or another user's, there is no such CPU, or it makes threads faster than we look.
    """
    wanted = set(cpus) or available()
    done: set[int] = set()
    for _ in range(_MAX_LOOKS):
        threads = {int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()}
        if threads <= done:
            return
        for thread in threads - done:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.sched_setaffinity(thread, wanted)
        done |= threads
    raise OSError(f"process {pid} makes threads faster than they can be pinned")
