"""Whether processes that are not our children have ended."""

from __future__ import annotations

from pathlib import Path


def runs(pid: int) -> bool:
    """It has not ended. (A zombie has: only whoever is to reap it has not looked yet.)"""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
