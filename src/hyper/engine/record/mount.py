"""Records of a container's mounts."""

from __future__ import annotations

from msgspec import Struct

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
