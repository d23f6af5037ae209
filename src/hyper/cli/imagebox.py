"""Boxes of images' files: a folder, or a tar archive, compressed or not. Read only, by name."""

from __future__ import annotations

import lzma
import os
import posixpath
import stat
import tarfile
import zlib
from contextlib import contextmanager

from hyper.cli.flags import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 256 * 1024
#: Of an archive; an image has a few per layer.
MAX_MEMBERS = 20_000
_MAX_LINKS = 8
_BROKEN = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError)


class Folder:
    """The files below ``path``. Names come from digests and are relative, without ``..``."""

    def __init__(self, path: str) -> None:
        self.path = path

    def has(self, name: str) -> bool:
        """Whether there is a file ``name``."""
        return os.path.isfile(os.path.join(self.path, name))  # noqa: PTH113, PTH118 (pathlib costs 3 ms)

    def place(self, name: str) -> tuple[int, int]:
        """A file's place: a number to sort by for fast reading, and its size in bytes.

        Raises:
            LocalError: there is no such file.
        """
        with self._opened(name) as (_, size):
            return 0, size

    def pieces(self, name: str) -> Iterator[bytes]:
        """The content of the file ``name``.

        Raises:
            LocalError: there is no such file, or it cannot be read.
        """
        with self._opened(name) as (descriptor, _):
            while piece := os.read(descriptor, _PIECE):
                yield piece

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[int, int]]:
        path = os.path.join(self.path, name)  # noqa: PTH118
        try:
            # A pipe must not hold us up.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise LocalError(f"{self.path} has no {name}: {_why(error)}") from error
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise LocalError(f"{path} is no file")
            yield descriptor, found.st_size
        finally:
            os.close(descriptor)


class TarBox:
    """The files and links of an archive by their clean names."""

    def __init__(self, path: str, archive: tarfile.TarFile) -> None:
        """The box of ``archive``. Raises LocalError: it is broken, or has too many members."""
        self.path = path
        self._archive = archive
        self._members: dict[str, tarfile.TarInfo] = {}
        with self._errors():
            for number, member in enumerate(archive):
                if number >= MAX_MEMBERS:
                    raise LocalError(f"{path} has more than {MAX_MEMBERS} files")
                if member.isreg() or member.issym() or member.islnk():
                    self._members[_clean(member.name)] = member

    def has(self, name: str) -> bool:
        """Whether there is a file ``name``."""
        return _clean(name) in self._members

    def place(self, name: str) -> tuple[int, int]:
        """A member's place: its offset in the archive, and its size in bytes. Raises LocalError: there is none."""
        member = self._find(name)
        return member.offset_data, member.size

    def pieces(self, name: str) -> Iterator[bytes]:
        """The content of the member ``name``. Raises LocalError: there is none, or it cannot be read."""
        with self._errors():
            file = self._archive.extractfile(self._find(name))
            assert file is not None
            while piece := file.read(_PIECE):
                yield piece

    def _find(self, name: str) -> tarfile.TarInfo:
        clean = _clean(name)
        for _ in range(_MAX_LINKS):
            member = self._members.get(clean)
            if member is None:
                break
            if member.isreg():
                return member
            base = posixpath.dirname(clean) if member.issym() else ""
            clean = _clean(posixpath.join(base, member.linkname))
        raise LocalError(f"{self.path} has no {name}")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except _BROKEN as error:
            raise LocalError(f"{self.path} is a broken archive: {error}") from error


Box = Folder | TarBox


@contextmanager
def opened_folder(path: str) -> Iterator[Box]:
    """The folder ``path`` as a box.

    Raises:
        LocalError: it is no folder.
    """
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError as error:
        raise LocalError(f"cannot open the folder {path}: {_why(error)}") from error
    if not stat.S_ISDIR(mode):
        raise LocalError(f"{path} is no folder", hint="an archive of one is oci-archive:FILE[:TAG]")
    yield Folder(path)


@contextmanager
def opened_archive(path: str) -> Iterator[Box]:
    """The archive in the file ``path`` as a box.

    Raises:
        LocalError: it cannot be read, or is no tar archive.
    """
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):  # noqa: PTH116
            raise LocalError(f"{path} is a folder", hint="an OCI layout is oci:FOLDER[:TAG]")
        archive = tarfile.open(path)  # noqa: SIM115 (closed below)
    except OSError as error:
        raise LocalError(f"cannot open {path}: {_why(error)}") from error
    except _BROKEN as error:
        raise LocalError(
            f"{path} is no tar archive, or compressed with something else than gzip, bzip2 and xz"
        ) from error
    with archive:
        yield TarBox(path, archive)


def _clean(name: str) -> str:
    return posixpath.normpath("/" + name).lstrip("/")


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
