"""CONTAINER_CREATE, CONTAINER_FILES, CONTAINER_REMOVE: what a container's root is made of.

Source: docs/protocol.md, "Requests".
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import ClassVar, Final, Self

from hyper.errors import ProtocolError
from hyper.proto.limits import MAX_DEVICES, MAX_LAYERS
from hyper.proto.mount import Mount
from hyper.proto.request import Op, Request, read_flags
from hyper.proto.wire import Reader, Writer


class ContainerFlag(IntFlag):
    """Flags of ContainerCreate."""

    NONE = 0
    READ_ONLY = 1
    SHARE_PID = 2
    PRIVILEGED = 4


@dataclass(frozen=True, slots=True)
class File:
    """A file kept outside the root and bind-mounted over ``path``."""

    path: str
    content: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0

    def write(self, to: Writer) -> None:
        """Append the file. Raises: ProtocolError."""
        to.string(self.path)
        to.u32(self.mode)
        to.u32(self.uid)
        to.u32(self.gid)
        to.blob(self.content)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take a file. Raises: ProtocolError."""
        path, mode, uid, gid = source.string(), source.u32(), source.u32(), source.u32()
        return cls(path, source.blob(), mode, uid, gid)


class DeviceType(IntEnum):
    """The kind of a device that a container may use."""

    ANY = 0
    BLOCK = 1
    CHARACTER = 2


#: Of a device's numbers: all of them.
ALL_NUMBERS: Final = 2**32 - 1
_ACCESS: Final = 7


@dataclass(frozen=True, slots=True)
class Device:
    """Devices of the machine that a container may use; with ``path`` it is one device, and its node is made there.

    ``access``: 1 to make nodes, 2 to read, 4 to write. ``mode``: the node's permissions.
    """

    path: str
    type: DeviceType
    major: int
    minor: int
    access: int = _ACCESS
    mode: int = 0o666

    def write(self, to: Writer) -> None:
        """Append the device. Raises: ProtocolError."""
        self._check()
        to.string(self.path)
        for number in (self.type, self.major, self.minor, self.access, self.mode):
            to.u32(number)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take a device. Raises: ProtocolError."""
        path, kind = source.string(), source.u32()
        if kind not in tuple(DeviceType):
            raise ProtocolError(f"device of type {kind}")
        major, minor, access, mode = (source.u32() for _ in range(4))
        device = cls(path, DeviceType(kind), major, minor, access, mode)
        device._check()
        return device

    def _check(self) -> None:
        some = self.type is DeviceType.ANY or ALL_NUMBERS in (self.major, self.minor)
        if self.path and (some or not self.path.startswith("/")):
            raise ProtocolError(f"no node can be made for the device {self.path[:100]!r}")
        if self.access > _ACCESS:
            raise ProtocolError(f"device with access {self.access}")


@dataclass(frozen=True, slots=True)
class ContainerCreate(Request):
    """Stack a container's root; no process runs in the container yet.

    ``joins``: a running container whose IPC and UTS name spaces it has, and with SHARE_PID its processes; 0: none.
    """

    op: ClassVar[Op] = Op.CONTAINER_CREATE
    container: int
    layers: tuple[str, ...]
    flags: ContainerFlag = ContainerFlag.NONE
    hostname: str = ""
    scratch: str = ""
    mounts: tuple[Mount, ...] = ()
    files: tuple[File, ...] = ()
    masked: tuple[str, ...] = ()
    readonly: tuple[str, ...] = ()
    joins: int = 0
    devices: tuple[Device, ...] = ()

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        _check_joins(self.flags, self.joins)
        to.u32(self.container)
        to.u32(self.flags)
        to.string(self.hostname)
        to.items(self.layers, to.string, limit=MAX_LAYERS)
        to.string(self.scratch)
        to.items(self.mounts, lambda mount: mount.write(to))
        to.items(self.files, lambda file: file.write(to))
        to.items(self.masked, to.string)
        to.items(self.readonly, to.string)
        to.u32(self.joins)
        to.items(self.devices, lambda device: device.write(to), limit=MAX_DEVICES)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        read = cls(
            container=source.u32(),
            flags=read_flags(source, ContainerFlag),
            hostname=source.string(),
            layers=source.items(source.string, limit=MAX_LAYERS),
            scratch=source.string(),
            mounts=source.items(lambda: Mount.read(source)),
            files=source.items(lambda: File.read(source)),
            masked=source.items(source.string),
            readonly=source.items(source.string),
            joins=source.u32(),
            devices=source.items(lambda: Device.read(source), limit=MAX_DEVICES),
        )
        _check_joins(read.flags, read.joins)
        return read


def _check_joins(flags: ContainerFlag, joins: int) -> None:
    if flags & ContainerFlag.SHARE_PID and not joins:
        raise ProtocolError("a container that shares the processes of none")


@dataclass(frozen=True, slots=True)
class ContainerFiles(Request):
    """Give files that a container keeps outside its root other content."""

    op: ClassVar[Op] = Op.CONTAINER_FILES
    container: int
    files: tuple[File, ...]

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        to.u32(self.container)
        to.items(self.files, lambda file: file.write(to))

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(source.u32(), source.items(lambda: File.read(source)))


@dataclass(frozen=True, slots=True)
class ContainerRemove(Request):
    """Take a container apart that does not run; the reply comes when nothing of it is mounted any more."""

    op: ClassVar[Op] = Op.CONTAINER_REMOVE
    container: int

    def write(self, to: Writer) -> None:
        """Append the arguments. Raises: ProtocolError."""
        to.u32(self.container)

    @classmethod
    def read(cls, source: Reader) -> Self:
        """Take the arguments. Raises: ProtocolError."""
        return cls(source.u32())
