"""``python -m hyper.image.aci.split``: the process that takes an App Container Image from outside apart.

Standard input is the archive (a seekable file), standard output becomes the tar of a layer: what is under ``rootfs/``,
without that folder. The manifest goes to a descriptor named in the options. Nothing is unpacked: names only lose their
first part here, and what they would do to a file system is decided by `hyper.image.tree`, as for every layer.

Source: appc spec v0.8.11, aci.md ("Image Archives", "Image ID").
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedWriter, FileIO
from typing import Any, BinaryIO

from hyper.image import limits
from hyper.image.aci.manifest import MAX_MANIFEST_BYTES
from hyper.image.ahead import read_ahead
from hyper.image.decompress import chunks
from hyper.image.emit import write_file
from hyper.image.tarstream import (
    BLOCK,
    CHARACTER,
    DIRECTORY,
    HARDLINK,
    REGULAR,
    BadLayer,
    ByteSource,
    Entry,
    TarReader,
    components,
    header,
)
from hyper.image.worker import Report, serve

_ROOT = b"rootfs"
_MANIFEST = b"manifest"
_WHITEOUT = b".wh."


@dataclass(slots=True)
class Parts:
    """The facts about an image once it was read to its end."""

    #: ``sha512-…`` of the uncompressed tar.
    image_id: str = ""
    tar_bytes: int = 0


def split(
    blob: BinaryIO,
    layer: BinaryIO,
    manifest: BinaryIO,
    report: Report,
    *,
    max_bytes: int = limits.MAX_LAYER_TAR_BYTES,
    max_entries: int = limits.MAX_LAYER_ENTRIES,
) -> Parts:
    """Write the files of the image ``blob`` to ``layer``, its manifest to ``manifest``.

    Raises:
        BadLayer: ``blob`` is no App Container Image, or a broken or hostile one.
    """
    parts, sha = Parts(), hashlib.sha512()

    def pieces() -> Iterator[bytes]:
        for chunk in chunks(blob, max_bytes=max_bytes):
            sha.update(chunk)
            parts.tar_bytes += len(chunk)
            report.progress(blob.tell())
            yield chunk

    with read_ahead(pieces()) as ahead:
        source = ByteSource(ahead)
        reader = TarReader(source)
        splitter = _Splitter(reader, layer, manifest, max_bytes, max_entries)
        for entry in _entries(reader):
            splitter.take(entry)
        splitter.finish()
        source.drain()
    parts.image_id = "sha512-" + sha.hexdigest()
    return parts


def _entries(reader: TarReader) -> Iterator[Entry]:
    """The entries of the archive; an error before the first says that it is something else."""
    entries = iter(reader)
    try:
        first = next(entries, None)
    except BadLayer as error:
        raise BadLayer(f"this is no App Container Image: {error.message}") from error
    if first is not None:
        yield first
        yield from entries


class _Splitter:
    def __init__(
        self,
        reader: TarReader,
        layer: BinaryIO,
        manifest: BinaryIO,
        max_bytes: int,
        max_entries: int,
    ) -> None:
        self._reader = reader
        self._layer = layer
        self._manifest = manifest
        self._seen: set[bytes] = set()
        self._left = max_bytes
        self._max_entries = max_entries

    def take(self, entry: Entry) -> None:
        """Write one entry of the archive where it belongs."""
        parts = components(entry.name)
        if parts is None:
            raise BadLayer(f"{entry.name[:80]!r} leads out of the image")
        if not parts and entry.kind == DIRECTORY:
            return  # "./", as tar has it of a whole folder
        path = b"/".join(parts)
        if path in self._seen:
            raise BadLayer(f"{path[:80]!r} comes twice")
        if len(self._seen) >= self._max_entries:
            raise BadLayer(f"more than {self._max_entries} entries")
        self._seen.add(path)
        if path == _MANIFEST:
            self._take_manifest(entry)
        elif parts[:1] == [_ROOT]:
            self._take_file(entry, parts[1:])
        else:
            raise BadLayer(f"{path[:80]!r} is neither the manifest nor in rootfs")

    def _take_manifest(self, entry: Entry) -> None:
        if entry.kind != REGULAR:
            raise BadLayer("the manifest is no regular file")
        if entry.size > MAX_MANIFEST_BYTES:
            raise BadLayer(f"the manifest is longer than {MAX_MANIFEST_BYTES} bytes")
        self._reader.copy_body(self._manifest.write)

    def _take_file(self, entry: Entry, parts: list[bytes]) -> None:
        if not parts and entry.kind != DIRECTORY:
            raise BadLayer("rootfs is no directory")
        # Whiteouts are a layer's words for files to hide. Images of this kind hide nothing: these are files' names.
        if any(part.startswith(_WHITEOUT) for part in parts):
            raise BadLayer(f"{entry.name[:80]!r} has a name that layers cannot have (.wh.…)")
        if entry.kind == CHARACTER and (entry.major, entry.minor) == (0, 0):
            raise BadLayer(f"{entry.name[:80]!r} is a device that layers cannot have (0:0)")
        if entry.kind == HARDLINK:
            entry.link = _link_target(entry)
        entry.name = b"/".join(parts) + (b"/" if entry.kind == DIRECTORY else b"")
        if not parts:
            entry.name = b"./"
        if entry.kind == REGULAR:
            self._left -= (
                entry.size
            )  # with the holes of a sparse file, which cost nothing in the archive
            if self._left < 0:
                raise BadLayer("its files are too large together")
            write_file(entry, self._reader, self._layer)
        else:
            self._layer.write(header(entry))

    def finish(self) -> None:
        """Write the end of the layer. Raises: BadLayer when something is missing."""
        if _MANIFEST not in self._seen:
            raise BadLayer("it has no manifest: this is no App Container Image")
        if len(self._seen) < 2:
            raise BadLayer("it has no rootfs: this is no App Container Image")
        self._layer.write(bytes(2 * BLOCK))
        self._layer.flush()
        self._manifest.flush()


def _link_target(entry: Entry) -> bytes:
    """The target of a hard link, without ``rootfs``."""
    parts = components(entry.link)
    if parts is None or len(parts) < 2 or parts[0] != _ROOT:
        raise BadLayer(f"{entry.name[:80]!r} is a hard link out of rootfs: {entry.link[:80]!r}")
    return b"/".join(parts[1:])


def _work(options: dict[str, Any], report: Report, output: BinaryIO) -> Parts:
    with (
        FileIO(0, "r", closefd=False) as blob,
        BufferedWriter(FileIO(options["manifest"], "w", closefd=False)) as manifest,
    ):
        return split(
            blob,
            output,
            manifest,
            report,
            max_bytes=options["max_bytes"],
            max_entries=options["max_entries"],
        )


if __name__ == "__main__":
    sys.exit(serve(_work))
