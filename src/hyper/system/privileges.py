"""Privileges given up by a process that reads clients' bytes."""

from __future__ import annotations

import os
import resource
from typing import Final

#: "nobody": owns nothing.
UNPRIVILEGED: Final = 65534


def drop(*, memory_bytes: int) -> None:
    """The process is nobody (where it was root), has at most ``memory_bytes`` of address space and dumps no core."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes,) * 2)
    if os.getuid() == 0:
        os.setgroups([])
        os.setresgid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
        os.setresuid(UNPRIVILEGED, UNPRIVILEGED, UNPRIVILEGED)
