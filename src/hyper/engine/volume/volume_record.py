"""Records of volumes. Nothing here knows of containers."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct, field

from hyper.units import GIB, MIB

#: What an image may hold unless ``-o size=`` says otherwise. Sparse: only what is written takes room.
DEFAULT_SIZE: Final = 10 * GIB
MINIMUM_SIZE: Final = 16 * MIB
#: Of ext4 with blocks of 4 KiB and 32-bit numbers.
MAXIMUM_SIZE: Final = 15 * 1024 * GIB


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
