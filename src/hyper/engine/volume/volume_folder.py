"""Volumes on disk: a folder each, which is its own record. Nothing here knows of containers.

NAME/volume.json      what the volume is
NAME/disk.ext4        its file system, if it is an image
NAME/_data/           its files, if it is a directory

A folder is made and removed under a name that is no volume's (``.new-…``, ``.old-…``), so that a killed daemon leaves
either the whole volume or something that the next one sweeps away.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import time
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct, field

from hyper.engine.spec import nfs
from hyper.errors import HyperError, InvalidRequest
from hyper.system import files
from hyper.units import GIB, MIB, parse_size

logger = logging.getLogger(__name__)

RECORD: Final = "volume.json"
DISK: Final = "disk.ext4"
DATA: Final = "_data"
#: What an image may hold unless ``-o size=`` says otherwise. Sparse: only what is written takes room.
DEFAULT_SIZE: Final = 10 * GIB
MINIMUM_SIZE: Final = 16 * MIB
#: Of ext4 with blocks of 4 KiB and 32-bit numbers.
MAXIMUM_SIZE: Final = 15 * 1024 * GIB
_OPTIONS: Final = frozenset({"type", "size", "o", "device"})


class Kind(StrEnum):
    """The kind of a volume: how it is kept. UNDECIDED until a container with it starts."""

    UNDECIDED = ""
    IMAGE = "image"
    DIRECTORY = "directory"
    #: ``-o type=none -o o=bind -o device=PATH``: a directory of the host's owner.
    BIND = "bind"
    TMPFS = "tmpfs"
    #: ``-o type=nfs -o o=addr=SERVER -o device=:/PATH``: a directory of a file server.
    NFS = "nfs"


class VolumeRecord(Struct):
    """The record of a volume."""

    name: str
    created_ns: int
    labels: dict[str, str] | None = None
    options: dict[str, str] | None = None
    anonymous: bool = False
    kind: Kind = Kind.UNDECIDED
    #: Of an IMAGE, in bytes.
    size: int = DEFAULT_SIZE
    #: The host's directory of a BIND, the device of an NFS.
    path: str = ""
    #: Those of a TMPFS or NFS, or ``ro``.
    mount_options: str = ""
    #: A container had the volume writable, so that the image's files at its place are in it.
    filled: bool = field(default=False)


def new_record(
    name: str,
    *,
    labels: dict[str, str] | None,
    options: dict[str, str] | None,
    anonymous: bool,
) -> VolumeRecord:
    """The record of a new volume with these driver options.

    Raises:
        InvalidRequest: options the driver does not have, or that do not go together.
    """
    wanted = options or {}
    for name_ in wanted:
        if name_ not in _OPTIONS:
            raise InvalidRequest(f'create {name}: invalid option: "{name_[:100]}"')
    _check_complete(name, wanted)
    record = VolumeRecord(name, time.time_ns(), labels, options, anonymous)
    kind, mount, device = wanted.get("type", ""), wanted.get("o", ""), wanted.get("device", "")
    if "size" in wanted:
        record.size = _size(name, wanted["size"])
        if kind not in ("", Kind.IMAGE):
            raise InvalidRequest(f"create {name}: size is an option of images (type=image) only")
        record.kind = Kind.IMAGE
    if kind in (Kind.IMAGE, Kind.DIRECTORY):
        record.kind = Kind(kind)
    elif kind == Kind.TMPFS:
        record.kind, record.mount_options = Kind.TMPFS, mount
        return record
    elif kind in nfs.TYPES:
        nfs.check(name, mount, device)
        record.kind, record.mount_options, record.path = Kind.NFS, mount, device
        return record
    elif kind or mount or device:
        return _bind(record, kind, mount, device)
    if mount or device:
        raise InvalidRequest(f"create {name}: o and device are no options of type {kind}")
    return record


def _check_complete(name: str, wanted: dict[str, str]) -> None:
    """The driver options have a type and a device, as dockerd wants it. Types of Hyper's own need no device.

    Raises:
        InvalidRequest: one of them is missing.
    """
    if wanted.get("type") in (Kind.IMAGE, Kind.DIRECTORY):
        return
    for option in ("device", "type"):
        if {"type", "device", "o"} & {*wanted} and not wanted.get(option):
            raise InvalidRequest(f'create {name}: missing required option: "{option}"')


def _bind(record: VolumeRecord, kind: str, mount: str, device: str) -> VolumeRecord:
    words = set(mount.split(","))
    if kind not in ("none", "bind") or not words & {"bind", "rbind"}:
        raise InvalidRequest(
            f"create {record.name}: volumes of type {kind[:100]} are not supported",
            hint="types are image, directory, tmpfs, nfs, and none with o=bind",
        )
    if words - {"bind", "rbind", "ro", "rw"}:
        raise InvalidRequest(f"create {record.name}: mount options are bind and ro, not {mount}")
    if not device.startswith("/") or "\0" in device:
        raise InvalidRequest(f"create {record.name}: device must be an absolute path")
    record.kind, record.path = Kind.BIND, device
    record.mount_options = "ro" if "ro" in words else ""
    return record


def _size(name: str, text: str) -> int:
    try:
        size = parse_size(text)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"create {name}: invalid size: '{text[:100]}'") from None
    if not MINIMUM_SIZE <= size <= MAXIMUM_SIZE:
        raise InvalidRequest(
            f"create {name}: size must be from {MINIMUM_SIZE // MIB} MiB to {MAXIMUM_SIZE // GIB} GiB"
        )
    return size - size % 4096


class VolumeFolders:
    """The folder ``root`` of all volumes' folders; one daemon at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def disk(self, record: VolumeRecord) -> Path:
        """The path of the volume's image."""
        return self.root / record.name / DISK

    def data(self, record: VolumeRecord) -> Path:
        """The directory that has the volume's files: its own, or the host's of a BIND."""
        return Path(record.path) if record.kind is Kind.BIND else self.root / record.name / DATA

    def load(self) -> list[VolumeRecord]:
        """Records of all volumes; those that a killed daemon had begun to make or to remove are gone.

        Raises:
            HyperError: a record cannot be read: better no daemon than one that does not know its volumes.
        """
        self.root.mkdir(mode=0o700, exist_ok=True)
        found = []
        for folder in self.root.iterdir():
            if folder.name.startswith("."):
                logger.warning("volume folder %s is not whole: it is removed", folder.name)
                shutil.rmtree(folder)
            elif (folder / RECORD).exists():
                found.append(_read(folder / RECORD))
            else:
                logger.error("%s is no volume's folder: it is left alone", folder)
        return found

    def create(self, record: VolumeRecord) -> None:
        """The volume's folder is there, whole.

        Raises:
            OSError: the folder could not be made; nothing is left.
        """
        draft = self.root / f".new-{secrets.token_hex(8)}"
        try:
            draft.mkdir(mode=0o700)
            if record.kind in (Kind.UNDECIDED, Kind.DIRECTORY):
                (draft / DATA).mkdir(mode=0o755)
            files.write_atomically(draft / RECORD, msgspec.json.encode(record), durable=False)
            draft.rename(self.root / record.name)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        files.sync_dir(self.root)

    def save(self, record: VolumeRecord) -> None:
        """The volume's kept record is ``record``."""
        files.write_atomically(self.root / record.name / RECORD, msgspec.json.encode(record))

    def remove(self, record: VolumeRecord) -> None:
        """The volume is gone from the disk (of a BIND the host's directory stays)."""
        old = self.root / f".old-{secrets.token_hex(8)}"
        with contextlib.suppress(FileNotFoundError):
            (self.root / record.name).rename(old)
            shutil.rmtree(old)

    def size(self, record: VolumeRecord) -> int:
        """Bytes that the volume takes on the host's disk; −1 where Hyper does not keep its files (BIND, TMPFS, NFS)."""
        if record.kind is Kind.IMAGE:
            with contextlib.suppress(FileNotFoundError):
                return files.allocated_bytes(self.disk(record))
            return 0
        if record.kind in (Kind.BIND, Kind.TMPFS, Kind.NFS):
            return -1
        return _tree_size(self.data(record))


def _tree_size(root: Path) -> int:
    """Bytes on disk of the files below ``root``, each counted once; links are not followed."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for folder, _, names in os.walk(root):
        for name in names:
            with contextlib.suppress(OSError):  # removed meanwhile
                status = Path(folder, name).lstat()
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    total += status.st_blocks * 512
    return total


def _read(path: Path) -> VolumeRecord:
    try:
        record = msgspec.json.decode(path.read_bytes(), type=VolumeRecord)
    except (OSError, msgspec.DecodeError) as error:
        raise HyperError(f"cannot read {path}: {error}") from error
    if record.name != path.parent.name:
        raise HyperError(f"{path} is the record of another volume: {record.name[:100]}")
    return record
