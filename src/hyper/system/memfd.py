"""Files that are nothing but memory, and can be made unchangeable for every process that has them, ours included.

Source: memfd_create(2), fcntl(2) "File Sealing".
"""

from __future__ import annotations

import fcntl
import os
from typing import Final

ALL_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


def create(name: str, size: int = 0) -> int:
    """A descriptor of a new file of ``size`` zeros, which take no memory yet. The caller closes it. Raises: OSError."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size)
    except BaseException:
        os.close(fd)
        raise
    return fd


def seal(fd: int) -> None:
    """The file's content and size are what they are for good; it can only be mapped privately.

    Raises:
        OSError: EBUSY, a shared mapping can still write to it.
    """
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, ALL_SEALS)


def fix_size(fd: int) -> None:
    """The file is neither longer nor shorter than now, whatever process has it. Raises: OSError."""
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)


def reopen(fd: int) -> int:
    """A descriptor to read the same file from its beginning, with a position of its own. The caller closes it."""
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
