"""Files: changed by rename, copied without their holes, private folders, free space.

Source: rename(2), fsync(2), lseek(2) SEEK_DATA, copy_file_range(2), ioctl_ficlonerange(2).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from pathlib import Path

from hyper.errors import Forbidden

_FICLONE = 0x40049409
_CHUNK = 16 * 1024 * 1024
#: What copy_file_range and FICLONE fail with where the file systems cannot do it.
_UNSUPPORTED = frozenset(
    {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EBADF}
)


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """The file ``path`` holds ``data``; a reader meanwhile sees the old or the new content, whole.

    ``durable``: also after a power loss.

    Raises:
        OSError: the file could not be written; ``path`` is unchanged and nothing is left beside it.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        draft.rename(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    if durable:
        sync_dir(path.parent)


def sync_dir(path: Path) -> None:
    """The names made, renamed and removed in ``path`` so far survive a power loss."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def is_socket(path: str) -> bool:
    """Whether a unix socket is at ``path``, links followed; False for what cannot be looked at."""
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)  # noqa: PTH116 (no path of ours: it may hold anything)
    except (OSError, ValueError):
        return False


def make_private_dir(path: Path, *, mode: int = 0o700) -> None:
    """The folder ``path`` is ours and only we (``mode``) can enter it; parents are made (0755).

    An empty folder of ours is closed to others; one that holds something stays as it is.

    Raises:
        Forbidden: it exists and belongs to another user, is open to more than ``mode``, or is no folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=mode)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise Forbidden(f"{path} is not a folder")
    if status.st_uid != os.geteuid():
        raise Forbidden(f"{path} belongs to user {status.st_uid}, not to us ({os.geteuid()})")
    loose = stat.S_IMODE(status.st_mode) & ~mode
    if loose and _is_empty(path):
        path.chmod(mode)
    elif loose:
        raise Forbidden(
            f"{path} is open to others (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"chmod {mode:04o} {path}",
        )


def _is_empty(path: Path) -> bool:
    """Whether the folder holds nothing, or what a new file system has."""
    return all(entry.name == "lost+found" for entry in path.iterdir())


def make_device_copy(source: Path, target: Path, *, gid: int) -> None:
    """The node ``target`` is of the same device as ``source``; root and ``gid`` may open it. Root only.

    Raises:
        OSError: ``source`` is missing, or the file system of ``target`` has no devices.
    """
    device = source.stat().st_rdev
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        os.mknod(draft, stat.S_IFCHR | 0o600, device)
        os.chown(draft, 0, gid)
        draft.chmod(0o660)
        draft.rename(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def copy_sparse(source: Path, target: Path, *, mode: int = 0o600) -> None:
    """The file ``target`` (which must not exist) is a copy of ``source``: holes stay, blocks are shared if possible.

    Raises:
        FileExistsError: ``target`` exists.
        OSError: reading or writing failed; ``target`` is gone.
    """
    with contextlib.ExitStack() as fds:
        reader = os.open(source, os.O_RDONLY)
        fds.callback(os.close, reader)
        writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        fds.callback(os.close, writer)
        try:
            if not _clone(reader, writer):
                _copy_data(reader, writer, os.fstat(reader).st_size)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def _clone(reader: int, writer: int) -> bool:
    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        raise
    return True


def _copy_data(reader: int, writer: int, size: int) -> None:
    os.truncate(writer, size)
    offset = 0
    while offset < size:
        try:
            start = os.lseek(reader, offset, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        offset = os.lseek(reader, start, os.SEEK_HOLE)
        _copy_range(reader, writer, start, offset)


def _copy_range(reader: int, writer: int, start: int, end: int) -> None:
    while start < end:
        count = min(end - start, _CHUNK)
        try:
            done = os.copy_file_range(reader, writer, count, start, start)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            done = os.pwrite(writer, os.pread(reader, count, start), start)
        if done == 0:  # the source was cut short meanwhile
            return
        start += done


def allocated_bytes(path: Path) -> int:
    """The bytes of disk that ``path`` takes (not its length: holes are free)."""
    return path.stat().st_blocks * 512
