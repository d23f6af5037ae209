"""An archive of images as a stream: its files, taken out one by one into files of the store, under names of our own.

Names in the archive are keys of a dictionary and nothing else; there is no way out of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import posixpath
import secrets
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO, cast

from hyper.errors import InvalidRequest
from hyper.image import limits, space
from hyper.image.decompress import chunks
from hyper.image.layer import Received, storage_errors
from hyper.image.store import Store
from hyper.image.tarstream import HARDLINK, REGULAR, SYMLINK, ByteSource, TarReader
from hyper.system import pipe
from hyper.system.uninterrupted import ended
from hyper.types.oci import MAX_DOCUMENT_BYTES

_HEAD = 16
_MAX_LINKS = 8


@dataclass(frozen=True, slots=True)
class Archive:
    """The regular files and links of an archive by their clean names."""

    files: dict[str, Received] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def file(self, name: str) -> Received:
        """The file ``name`` names, links followed; its bytes are what a name like ``blobs/sha256/…`` promises.

        Raises:
            InvalidRequest: there is no such file, or its name lies.
        """
        clean = _clean(name)
        for _ in range(_MAX_LINKS):
            if clean not in self.links:
                break
            clean = self.links[clean]
        found = self.files.get(clean)
        if found is None:
            raise InvalidRequest(f"invalid archive: it has no {name[:200]!r}")
        folder, _, last = clean.rpartition("/")
        if folder == "blobs/sha256" and found.digest != f"sha256:{last}":
            raise InvalidRequest(f"invalid archive: {clean[:100]} is {found.digest}")
        return found

    def document(self, name: str) -> bytes:
        """The content of the small file ``name``.

        Raises:
            InvalidRequest: there is no such file, its name lies, or it is not small.
        """
        found = self.file(name)
        if found.size > MAX_DOCUMENT_BYTES:
            raise InvalidRequest(f"invalid archive: {name[:200]!r} is too long: {found.size} bytes")
        return found.path.read_bytes()

    def has(self, name: str) -> bool:
        """Whether there is a file ``name``."""
        return name in self.files


@asynccontextmanager
async def opened(
    store: Store, pieces: AsyncIterable[bytes], *, max_bytes: int
) -> AsyncIterator[Archive]:
    """The archive (a tar, compressed or not) in ``pieces``, as long as the context lasts.

    Raises:
        InvalidRequest (BadLayer): the stream is no archive, or unpacks to more than ``max_bytes`` or too many files.
        HyperError: no space…
    """
    stem = store.tmp / secrets.token_hex(8)
    try:
        with storage_errors(store, "the archive"):
            unpacked = await _unpack(stem, pieces, max_bytes)
        yield unpacked
    finally:
        for path in stem.parent.glob(f"{stem.name}.*"):
            path.unlink(missing_ok=True)


async def _unpack(stem: Path, pieces: AsyncIterable[bytes], max_bytes: int) -> Archive:
    read_end, write_end = os.pipe()
    work = asyncio.ensure_future(asyncio.to_thread(_extract, read_end, stem, max_bytes))
    try:
        async for piece in pieces:
            await pipe.write_all(write_end, piece)
            if work.done():
                break
    finally:
        os.close(write_end)
        await ended(work)  # the thread writes no more
    return await work


def _extract(fd: int, stem: Path, max_bytes: int) -> Archive:
    """The files of the archive. Runs in a thread; owns ``fd``."""
    archive = Archive()
    with FileIO(fd, "r") as raw:
        source = ByteSource(chunks(cast(BinaryIO, _Rewindable(raw)), max_bytes=max_bytes))
        reader = TarReader(source)
        for number, entry in enumerate(reader):
            if number >= limits.MAX_ARCHIVE_FILES:
                raise InvalidRequest(f"invalid archive: more than {number} files")
            name = _clean(entry.name.decode(errors="replace"))
            if entry.kind == REGULAR:
                archive.files[name] = _keep(reader, stem.with_suffix(f".{number}"), entry.size)
                archive.links.pop(name, None)
            elif entry.kind in (SYMLINK, HARDLINK):
                target = entry.link.decode(errors="replace")
                base = posixpath.dirname(name) if entry.kind == SYMLINK else ""
                archive.links[name] = _clean(posixpath.join(base, target))
        source.drain()
    return archive


def _keep(reader: TarReader, path: Path, size: int) -> Received:
    space.check_fits(path.parent, size, "a file of the archive")
    sha, watch = hashlib.sha256(), space.Watch(path.parent)
    with path.open("xb", buffering=0) as file:

        def write(piece: memoryview | bytes) -> None:
            watch.take(len(piece))
            sha.update(piece)
            view = memoryview(piece)
            while view:
                view = view[file.write(view) :]

        reader.copy_body(write)
    return Received(path, f"sha256:{sha.hexdigest()}", size)


def _clean(name: str) -> str:
    return posixpath.normpath("/" + name).lstrip("/")


class _Rewindable(io.RawIOBase):
    """A pipe whose first bytes can be read twice: what tells the kinds of compression apart wants that."""

    def __init__(self, raw: FileIO) -> None:
        self._raw = raw
        self._head = raw.read(_HEAD) or b""
        self._position = 0

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        assert (offset, whence) == (0, os.SEEK_SET)
        assert self._position <= len(self._head)
        self._position = 0
        return 0

    def readinto(self, buffer: Any, /) -> int:
        left = self._head[self._position :]
        if not left:
            count = self._raw.readinto(buffer)
            self._position += count
            return count
        count = min(len(left), len(buffer))
        buffer[:count] = left[:count]
        self._position += count
        return count
