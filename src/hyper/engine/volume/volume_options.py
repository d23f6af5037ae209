"""Options of docker volume create -o, which say what a volume is. Pure."""

from __future__ import annotations

import time
from typing import Final

from hyper.engine.spec import nfs
from hyper.engine.volume.volume_record import MAXIMUM_SIZE, MINIMUM_SIZE, Kind, VolumeRecord
from hyper.errors import InvalidRequest
from hyper.units import GIB, MIB, parse_size

_OPTIONS: Final = frozenset({"type", "size", "o", "device"})


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
