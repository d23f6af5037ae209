"""The memory of this host."""

from __future__ import annotations

import os
from pathlib import Path

from hyper.units import MIB


def total_bytes() -> int:
    """The memory of this host in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def total_mib() -> float:
    """The memory of this host in MiB."""
    return total_bytes() / MIB


def available_mib() -> int:
    """Memory in MiB that programs can still take without others losing theirs. Source: proc(5), MemAvailable."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return int(total_mib())
