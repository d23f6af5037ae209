"""Records of a container's mounts."""

from __future__ import annotations

from typing import Self

from msgspec import Struct

from hyper.proto.message import Mount, decode_source, encode_source

BIND, VOLUME, TMPFS = "bind", "volume", "tmpfs"


class MountPoint(Struct, frozen=True):
    """A mount of a container. ``kind``: bind (``source``: a host path), volume (``volume``: its name), tmpfs.

    ``anonymous``: the volume is this container's and has no name of the client's. ``create``: the host path is made if
    missing. ``options``: a tmpfs's. ``labels``, ``driver_options``: a volume's that has to be made, by name.
    """

    kind: str
    target: str
    source: str = ""
    volume: str = ""
    read_only: bool = False
    mode: str = ""
    propagation: str = ""
    anonymous: bool = False
    no_copy: bool = False
    subpath: str = ""
    create: bool = False
    options: str = ""
    labels: tuple[tuple[str, str], ...] | None = None
    driver_options: tuple[tuple[str, str], ...] | None = None


class MountRecord(Struct, frozen=True):
    """The record of a mount that the containers of a pod share; ``source`` is as a guest is told it."""

    type: str
    source: str
    target: str
    flags: int = 0
    data: str = ""

    @classmethod
    def of(cls, mount: Mount) -> Self:
        """The record of ``mount``. Raises: ProtocolError: it cannot be told to a guest."""
        source = encode_source(mount.source, mount.flags)
        return cls(mount.type, source, mount.target, mount.flags, mount.data)

    def mount(self) -> Mount:
        """The mount that was recorded. Raises: ProtocolError: it is none."""
        source = decode_source(self.source, self.flags)
        return Mount(self.type, source, self.target, self.flags, self.data)
