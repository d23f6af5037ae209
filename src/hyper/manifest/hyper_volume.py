"""Volumes of a pod file.

Source: hyperhq/hyperd, types/types.proto (UserVolume), types/validate.go (its drivers).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from hyper.errors import InvalidRequest
from hyper.manifest.checks import part_name
from hyper.manifest.draft import Sources
from hyper.manifest.fields import Fields, shown
from hyper.types.pod import EMPTY, HOST, MEMORY, VOLUME, PodVolume
from hyper.units import parse_size

#: Drivers of the original that keep a volume in a way we do not know.
_FOREIGN: Final = ("raw", "qcow2", "vdi", "rbd")
#: What others call them.
_ALSO: Final = {
    "memory": "tmpfs",
    "emptydir": "empty",
    "host": "vfs",
    "bind": "vfs",
    "nfs": "nas",
    "local": "volume",
}
_MAX_SIZE: Final = 2**50


def volume(item: Fields, sources: Sources) -> PodVolume:
    """A volume of the pod file's ``volumes``.

    Without a driver the source says its kind: no source: a new one; a path: a directory of the host; a name: a volume.

    Raises:
        InvalidRequest: it is malformed, or its driver is not supported.
    """
    name = part_name(item.required("name"), item.at("name"))
    driver, source = item.text("driver", "format").lower(), item.text("source")
    fstype = item.text("fstype")
    made = PodVolume(name=name, read_only=item.boolean("readOnly"))
    if driver in _FOREIGN:
        raise item.wrong(
            item.given("driver", "format") or "driver",
            f"volumes of {driver} are not supported",
            hint="use vfs (a directory of the host), nas (NFS), tmpfs, or a volume by its name",
        )
    driver = _ALSO.get(driver, driver) or ("nas" if fstype == "nfs" else _guess(source))
    maker = _MAKERS.get(driver)
    if maker is None:
        raise item.wrong(
            item.given("driver", "format") or "driver",
            f"there is no driver {driver[:40]!r}",
            hint=f"use {', '.join(_MAKERS)}",
        )
    maker(item, made, source, sources)
    if fstype and driver != "nas":
        item.warn("fstype", "it has no effect here and was ignored")
    item.ignore(["cache"])
    item.refuse({"option": "options of rbd are not supported"})
    if made.kind != MEMORY:
        item.refuse({"size": "only tmpfs has one; a volume by its name has options: {size: 10g}"})
    item.finish()
    return made


def _guess(source: str) -> str:
    if not source:
        return "empty"
    return "vfs" if source.startswith(("/", "./", "../", "~")) else "volume"


def _empty(item: Fields, made: PodVolume, source: str, sources: Sources) -> None:
    if source:
        raise item.wrong("source", "an empty volume has none")
    made.kind = EMPTY


def _directory(item: Fields, made: PodVolume, source: str, sources: Sources) -> None:
    if not source or source.startswith("~"):
        raise item.wrong("source", "must be the path of a directory of the host")
    made.kind, made.source = HOST, sources.path(source)
    made.create = item.boolean("create")


def _memory(item: Fields, made: PodVolume, source: str, sources: Sources) -> None:
    made.kind = MEMORY
    value = item.take("size")
    if value is not None:
        made.size_bytes = _size(value, item.at("size"))


def _named(item: Fields, made: PodVolume, source: str, sources: Sources) -> None:
    made.kind, made.create = VOLUME, True
    made.source = part_name(source or made.name, item.at("source" if source else "name"))
    made.driver_opts = item.table("options") or None


def _network(item: Fields, made: PodVolume, source: str, sources: Sources) -> None:
    """``made`` becomes a volume on a file server: ``source`` is SERVER:/PATH."""
    kind = item.text("fstype") or "nfs"
    if kind != "nfs":
        raise item.wrong("fstype", f"must be nfs, not {kind[:40]!r}")
    server, colon, path = source.rpartition(":/")
    if not colon or not server:
        raise item.wrong("source", "must be SERVER:/PATH")
    options = ",".join(f"{k}={v}" if v else k for k, v in sorted(item.table("options").items()))
    network_volume(made, server.strip("[]"), f"/{path}", options)


def network_volume(made: PodVolume, server: str, path: str, options: str = "") -> None:
    """``made`` becomes a volume on a server of NFS. Pods that mount a server in the same way share one volume."""
    mount = ",".join(filter(None, (f"addr={server}", "ro" if made.read_only else "rw", options)))
    made.driver_opts = {"type": "nfs", "o": mount, "device": f":{path}"}
    digest = hashlib.sha256(f"{mount}\n{path}".encode()).hexdigest()
    made.kind, made.create, made.source = VOLUME, True, f"nfs-{digest[:16]}"


def _size(value: object, path: str) -> int:
    """A size in bytes, from MiB as a number, as everywhere in pod files, or a text with a unit."""
    try:
        size = value * 2**20 if isinstance(value, int) else parse_size(str(value))
    except (ValueError, OverflowError):
        size = 0
    if isinstance(value, (bool, float, list, dict)) or not 0 < size <= _MAX_SIZE:
        raise InvalidRequest(f"{path}: {shown(value)} is no size", hint="write 64 (MiB), or 1g")
    return size


_MAKERS: Final[dict[str, Callable[[Fields, PodVolume, str, Sources], None]]] = {
    "vfs": _directory,
    "nas": _network,
    "tmpfs": _memory,
    "empty": _empty,
    "volume": _named,
}
