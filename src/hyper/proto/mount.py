"""Mounts of a container's root, and where they come from: typed here, one string of a mount on the wire.

Source: docs/protocol.md, "Mounts".
"""

from dataclasses import dataclass
from enum import IntFlag
from typing import Final, Self

from hyper.errors import ProtocolError
from hyper.proto.wire import Reader, Writer

#: linux/mount.h.
MS_BIND: Final = 1 << 12


class MountFlag(IntFlag):
    """Flags of a mount beside MS_*. VOLUME: the source is a volume's directory, NO_COPY: that is not filled.

    MAKE_SUB: the directory SUB of the volume is made if missing.
    """

    MAKE_SUB = 1 << 29
    NO_COPY = 1 << 30
    VOLUME = 1 << 31


@dataclass(frozen=True, slots=True)
class KernelSource:
    """A mount source that is a word for the kernel: what /proc/mounts says of a file system without a device."""

    name: str


@dataclass(frozen=True, slots=True)
class RootSource:
    """A mount source that is a path in the container's own root; its mount has MS_BIND."""

    path: str


@dataclass(frozen=True, slots=True)
class DiskSource:
    """A mount source in the file system of a disk: ``path``; of a volume that is there what is at ``sub`` in it."""

    disk: str
    path: str = "/"
    sub: str = ""


@dataclass(frozen=True, slots=True)
class ShareSource:
    """A mount source in a file system that containers of a machine share: ``path``, ``sub`` as of a DiskSource.

    ``tag`` names a share of the host's, or (with type tmpfs) a tmpfs which the first mount makes.
    """

    tag: str
    path: str = "/"
    sub: str = ""


@dataclass(frozen=True, slots=True)
class NfsSource:
    """A mount source on a file server: ``device`` as mount(8) takes it, or what is at ``sub`` in it."""

    device: str
    sub: str = ""


MountSource = KernelSource | RootSource | DiskSource | ShareSource | NfsSource


def encode_source(source: MountSource, flags: int) -> str:
    """Return the string that says ``source`` in a mount with ``flags``.

    Raises:
        ProtocolError: the string would be read as another source.
    """
    match source:
        case KernelSource(name):
            text = name
        case RootSource(path):
            text = path
        case DiskSource(name, path, sub):
            text = f"disk:{name}:{path}" + (f":{sub}" if sub else "")
        case ShareSource(name, path, sub):
            text = f"tag:{name}:{path}" + (f":{sub}" if sub else "")
        case NfsSource(device, sub):
            text = f"net:{sub}:{device}"
    if decode_source(text, flags) != source:
        raise ProtocolError(f"no mount source of flags {flags:#x}: {source}"[:300])
    return text


def decode_source(text: str, flags: int) -> MountSource:
    """Return the source that the string ``text`` of a mount with ``flags`` says.

    Raises:
        ProtocolError: the string says a kind of source, and not which.
    """
    kind, _, rest = text.partition(":")
    if text.startswith(("disk:", "tag:")):
        name, _, path = rest.partition(":")
        # Paths in what is no volume may have colons.
        path, _, sub = path.partition(":") if flags & MountFlag.VOLUME else (path, "", "")
        if not name:
            raise ProtocolError(f"mount source {text[:100]!r} without a name")
        return (DiskSource if kind == "disk" else ShareSource)(name, path or "/", sub)
    if text.startswith("net:"):
        sub, _, device = rest.partition(":")
        if not device:
            raise ProtocolError(f"mount source {text[:100]!r} without a device")
        return NfsSource(device, sub)
    return RootSource(text) if flags & MS_BIND else KernelSource(text)


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount(2) inside the root; ``flags`` are MS_* bits and a MountFlag's."""

    type: str
    source: MountSource
    target: str
    flags: int = 0
    data: str = ""

    def write(self, to: Writer) -> None:
        """Append the mount. Raises: ProtocolError."""
        to.string(self.type)
        to.string(encode_source(self.source, self.flags))
        to.string(self.target)
        to.u32(self.flags)
        to.string(self.data)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take a mount. Raises: ProtocolError."""
        kind, text, target = source.string(), source.string(), source.string()
        flags = source.u32()
        return cls(kind, decode_source(text, flags), target, flags, source.string())
