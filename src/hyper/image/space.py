"""Room on the disk that images may take: not all of what is free, because machines write to the same disk.

A machine whose disk is full stands still (docs/daemon.md, "A full disk"). Images come from outside, and a megabyte
of archive can mean a terabyte of files: what a pull, a load or an import writes leaves the others a reserve.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from hyper.errors import HyperError
from hyper.image import limits
from hyper.units import MIB, human_size

#: Between two looks at the file system.
_STEP_BYTES: Final = 16 * MIB


def reserve_bytes(folder: Path) -> int:
    """The bytes that images leave free on the file system of ``folder``."""
    status = os.statvfs(folder)
    return min(limits.MAX_RESERVE_BYTES, status.f_blocks * status.f_frsize // limits.RESERVE_PART)


def room_bytes(folder: Path) -> int:
    """The bytes that images may still write there."""
    status = os.statvfs(folder)
    return max(0, status.f_bavail * status.f_frsize - reserve_bytes(folder))


def check_fits(folder: Path, size: int, what: str) -> None:
    """The room in ``folder`` is enough for ``what``, of ``size`` bytes as its maker says.

    Raises:
        HyperError: it is not.
    """
    room = room_bytes(folder)
    if size > room:
        reserve = human_size(reserve_bytes(folder))
        raise HyperError(
            f"no space left on device while storing {what}: it has {human_size(size)}, and there is room for "
            f"{human_size(room)}",
            hint=f"{reserve} of the disk under {folder} stay free for containers: free some space, or remove images",
        )


class Watch:
    """A watch that counts what is written to one file in ``folder``, and sees that the reserve stays."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._left = 0

    def take(self, count: int) -> None:
        """The reserve stays if so many bytes are written next.

        Raises:
            OSError: ENOSPC, they would be the reserve's.
        """
        if count > self._left:
            room = room_bytes(self._folder)
            if count > room:
                raise OSError(errno.ENOSPC, "only the reserve for containers is left")
            self._left = min(room, max(count, _STEP_BYTES))
        self._left -= count
