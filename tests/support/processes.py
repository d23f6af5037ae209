"""Processes that are not our children: whether they have ended, and how to end them."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path


def runs(pid: int) -> bool:
    """It has not ended. (A zombie has: only whoever is to reap it has not looked yet.)"""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def end(pid: int) -> None:
    """The process has ended, by SIGKILL."""
    handle = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGKILL)
        assert select.select([handle], [], [], 30)[0]
    finally:
        os.close(handle)
