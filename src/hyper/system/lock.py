"""File locks: one owner for a folder, whose file names the process that holds it; and turns, which are waited for.

Source: flock(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from hyper.errors import Conflict


@contextlib.contextmanager
def hold(path: Path, *, purpose: str) -> Iterator[None]:
    """The lock ``path`` (made if missing, its folder must exist) is held by no other process while the block runs.

    The kernel releases the lock when we die, however that happens.

    Raises:
        Conflict: another process holds it; the message names ``purpose`` and that process.
    """
    fd = _take(path, purpose)
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
        # Removed while still held: nobody can have locked this inode and believe it is the one at ``path``.
        path.unlink(missing_ok=True)
    finally:
        os.close(fd)


@contextlib.contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """The turn for the file ``path`` (made if missing, and stays) is ours while the block runs. Waits for it:
    no process should hold it for longer than a few system calls. Raises: OSError.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _take(path: Path, purpose: str) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
            os.close(fd)
            raise _taken(path, purpose, holder) from None
        if _is_at(fd, path):
            return fd
        # Its holder removed it between our open and our lock: this is a lock on nothing.
        os.close(fd)


def _is_at(fd: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(fd), path.lstat())
    return False


def _taken(path: Path, purpose: str, holder: str) -> Conflict:
    who = f"process {holder}" if holder else "another process"
    return Conflict(f"{purpose} is in use by {who}", hint=f"the lock is {path}")
