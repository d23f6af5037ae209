"""Changes of directories, told by the kernel.

Watches are set on open descriptors: a process that may rename what lies on a path cannot lead a watch elsewhere.

Source: inotify(7).
"""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import dataclass
from typing import Final

CLOSE_WRITE: Final = 0x8
MOVED_FROM: Final = 0x40
MOVED_TO: Final = 0x80
CREATE: Final = 0x100
DELETE: Final = 0x200
IGNORED: Final = 0x8000
IS_DIRECTORY: Final = 0x4000_0000
_HEADER: Final = struct.Struct("iIII")
_BUFFER: Final = 65536
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of ``name`` in the directory of ``watch``, or of the watched file itself (name "")."""

    watch: int
    mask: int
    name: str


class Inotify:
    """An inotify instance. ``close`` it."""

    def __init__(self) -> None:
        """An instance with no watches. Raises: OSError: the user has too many instances."""
        self._fd = _checked(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))

    def fileno(self) -> int:
        """The instance's descriptor, readable when something happened."""
        return self._fd

    def add(self, fd: int, mask: int) -> int:
        """The number of a watch on what ``fd`` has open, which may be closed then.

        Raises:
            OSError: the user has too many watches; no memory.
        """
        return _checked(_libc.inotify_add_watch(self._fd, f"/proc/self/fd/{fd}".encode(), mask))

    def remove(self, watch: int) -> None:
        """The watch is gone, and nothing is told of it any more; no error if it was gone already."""
        _libc.inotify_rm_watch(self._fd, watch)

    def read(self) -> list[Change]:
        """The changes since the last call, perhaps none. Names that are no UTF-8 have surrogates in them."""
        try:
            data = os.read(self._fd, _BUFFER)
        except BlockingIOError:
            return []
        changes, at = [], 0
        while at < len(data):
            watch, mask, _, size = _HEADER.unpack_from(data, at)
            at += _HEADER.size
            changes.append(Change(watch, mask, os.fsdecode(data[at : at + size].rstrip(b"\0"))))
            at += size
        return changes

    def close(self) -> None:
        """The instance and all its watches are gone; a thread that still adds some gets EBADF."""
        fd, self._fd = self._fd, -1
        os.close(fd)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)
