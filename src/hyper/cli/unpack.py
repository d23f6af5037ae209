"""Unpacking of a container's tar archive on this host. It may be hostile: nothing outside the folder is touched.

Nor does anything in it get rights here: device nodes are left out, files lose their set-user-ID and set-group-ID bits.
Docker's client makes both; as root that is another way from a container to the host.

Every name is walked from the folder's descriptor without following a link, so that a link the archive brought cannot
lead anywhere.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from contextlib import contextmanager, suppress

from hyper.cli.flags import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO

_PIECE = 256 * 1024
_SET_ID = stat.S_ISUID | stat.S_ISGID
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Pieces:
    """The pieces of a stream as a file that can only be read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""
        #: Bytes that were read.
        self.count = 0

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; fewer only at the end."""
        parts, wanted = [], size
        while wanted:
            if not self._rest:
                self._rest = next((piece for piece in self._pieces if piece), b"")
                if not self._rest:
                    break
            part, self._rest = self._rest[:wanted], self._rest[wanted:]
            parts.append(part)
            wanted -= len(part)
        made = b"".join(parts)
        self.count += len(made)
        return made


class Withheld:
    """Names of the entries left out (devices), or made with less than the archive says (privileges)."""

    def __init__(self) -> None:
        self.devices: list[str] = []
        self.privileged: list[str] = []

    def takes(self, member: tarfile.TarInfo) -> bool:
        """Whether an entry is left out; ``member`` has no privileges afterwards where it is not."""
        is_device = member.ischr() or member.isblk()
        if is_device or (member.islnk() and member.linkname in self.devices):
            self.devices.append(member.name)
            return True
        if member.isreg() and member.mode & _SET_ID:
            self.privileged.append(member.name)
            member.mode &= ~_SET_ID
        return False


def unpack(stream: Pieces, folder: str, rename: Callable[[str], str]) -> Withheld:
    """The names withheld; every other entry of the archive is below ``folder``, by the name that ``rename`` gives it.

    Modes and times are the archive's, owners this process's. A file in the way is replaced, but no folder by a file or
    the other way round.

    Raises:
        LocalError: an entry would land elsewhere, or cannot be made; entries made before stay.
    """
    times: list[tuple[list[str], float]] = []
    withheld = Withheld()
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with tarfile.open(fileobj=_as_file(stream), mode="r|", errorlevel=2) as archive:
            for member in archive:
                if withheld.takes(member):
                    continue
                parts = _parts(rename(member.name))
                if member.type == tarfile.LNKTYPE:
                    member.linkname = rename(member.linkname)
                _make(archive, member, root, parts, folder)
                if member.isdir():
                    times.append((parts, member.mtime))
        for parts, mtime in reversed(times):
            _set_folder_time(root, parts, mtime)
    except tarfile.TarError as error:
        raise LocalError(f"the daemon's archive is broken: {error}") from error
    except OSError as error:
        where = os.path.join(folder, os.fsdecode(error.filename or ""))  # noqa: PTH118
        raise LocalError(f"cannot write {where}: {error.strerror or error}") from error
    finally:
        os.close(root)
    # What follows the archive belongs to the answer: unread, the daemon would see a broken pipe.
    while stream.read(_PIECE):
        pass
    return withheld


def _as_file(stream: Pieces) -> IO[bytes]:
    return stream  # type: ignore[return-value]  # tarfile reads and asks for nothing else


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in name:
        raise LocalError(f"refusing an entry of the archive that leaves its folder: {name!r}")
    return parts


def _make(
    archive: tarfile.TarFile, member: tarfile.TarInfo, root: int, parts: list[str], folder: str
) -> None:
    if not parts:
        return  # The folder itself: it is ours.
    with _parent(root, parts) as parent:
        name = parts[-1]
        if member.isdir():
            _make_folder(parent, name, member, folder)
            return
        _clear(parent, name, folder)
        if member.isreg():
            _make_file(archive, member, parent, name)
        elif member.issym():
            _check_link(member, parts, folder)
            os.symlink(member.linkname, name, dir_fd=parent)
            os.utime(name, (member.mtime, member.mtime), dir_fd=parent, follow_symlinks=False)
        elif member.islnk():
            _make_hard_link(root, _parts(member.linkname), parent, name)
        elif member.isfifo():
            os.mkfifo(name, member.mode & 0o777, dir_fd=parent)


@contextmanager
def _parent(root: int, parts: list[str]) -> Iterator[int]:
    """The folder that an entry goes to, made where it is missing; no link is followed."""
    current = os.dup(root)
    try:
        for part in parts[:-1]:
            with suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=current)
            deeper = os.open(part, _FOLDER, dir_fd=current)
            os.close(current)
            current = deeper
        yield current
    finally:
        os.close(current)


def _make_folder(parent: int, name: str, member: tarfile.TarInfo, folder: str) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
            raise LocalError(
                f'cannot overwrite non-directory "{folder}/{member.name}" with directory "{folder}"'
            ) from None
    descriptor = os.open(name, _FOLDER, dir_fd=parent)
    try:
        os.fchmod(descriptor, member.mode & 0o7777)
    finally:
        os.close(descriptor)


def _clear(parent: int, name: str, folder: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno in (errno.EISDIR, errno.EPERM):
            raise LocalError(
                f'cannot overwrite directory "{folder}/{name}" with non-directory "{folder}"'
            ) from error
        raise


def _make_file(archive: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
    content = archive.extractfile(member)
    assert content is not None  # a regular file has one
    descriptor = os.open(
        name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=parent
    )
    try:
        while piece := content.read(_PIECE):
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, member.mode & 0o7777)
        os.utime(descriptor, (member.mtime, member.mtime))
    finally:
        os.close(descriptor)


def _check_link(member: tarfile.TarInfo, parts: list[str], folder: str) -> None:
    """A check that no link leads out of the folder, as docker's (an absolute one is taken to begin there)."""
    depth = len(parts) - 1
    for part in member.linkname.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            path = "/".join((folder, *parts))
            raise LocalError(f'invalid symlink "{path}" -> "{member.linkname}"')


def _make_hard_link(root: int, source: list[str], parent: int, name: str) -> None:
    if not source:
        raise LocalError("refusing a hard link to the folder itself")
    with _parent(root, source) as folder:
        os.link(source[-1], name, src_dir_fd=folder, dst_dir_fd=parent, follow_symlinks=False)


def _set_folder_time(root: int, parts: list[str], mtime: float) -> None:
    # It may be gone: a later entry of the archive can take its place.
    if parts:
        with suppress(OSError), _parent(root, parts) as parent:
            os.utime(parts[-1], (mtime, mtime), dir_fd=parent, follow_symlinks=False)
