"""Options of docker volume create -o, which say what a volume is. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NoReturn

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
    kind = wanted.get("type", "")
    if "size" in wanted:
        record.size = _size(name, wanted["size"])
        if kind not in ("", Kind.IMAGE):
            raise InvalidRequest(f"create {name}: size is an option of images (type=image) only")
        kind = Kind.IMAGE
    read = _TYPES.get(kind, _unknown)
    read(record, wanted.get("o", ""), wanted.get("device", ""))
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


def _image(record: VolumeRecord, mount: str, device: str) -> None:
    _check_bare(record, mount, device, Kind.IMAGE)


def _directory(record: VolumeRecord, mount: str, device: str) -> None:
    _check_bare(record, mount, device, Kind.DIRECTORY)


def _check_bare(record: VolumeRecord, mount: str, device: str, kind: Kind) -> None:
    if mount or device:
        raise InvalidRequest(f"create {record.name}: o and device are no options of type {kind}")
    record.kind = kind


def _tmpfs(record: VolumeRecord, mount: str, device: str) -> None:
    record.kind, record.mount_options = Kind.TMPFS, mount


def _nfs(record: VolumeRecord, mount: str, device: str) -> None:
    nfs.check(record.name, mount, device)
    record.kind, record.mount_options, record.path = Kind.NFS, mount, device


def _bind(record: VolumeRecord, mount: str, device: str) -> None:
    words = set(mount.split(","))
    if not words & {"bind", "rbind"}:
        _unknown(record, mount, device)
    if words - {"bind", "rbind", "ro", "rw"}:
        raise InvalidRequest(f"create {record.name}: mount options are bind and ro, not {mount}")
    if not device.startswith("/") or "\0" in device:
        raise InvalidRequest(f"create {record.name}: device must be an absolute path")
    record.kind, record.path = Kind.BIND, device
    record.mount_options = "ro" if "ro" in words else ""


def _unknown(record: VolumeRecord, mount: str, device: str) -> NoReturn:
    kind = (record.options or {}).get("type", "")
    raise InvalidRequest(
        f"create {record.name}: volumes of type {kind[:100]} are not supported",
        hint="types are image, directory, tmpfs, nfs, and none with o=bind",
    )


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


#: For each type, what reads the options ``o`` and ``device`` into the record.
_TYPES: Final[dict[str, Callable[[VolumeRecord, str, str], None]]] = {
    "": lambda record, mount, device: None,
    Kind.IMAGE: _image,
    Kind.DIRECTORY: _directory,
    Kind.TMPFS: _tmpfs,
    **dict.fromkeys(nfs.TYPES, _nfs),
    **dict.fromkeys(("none", "bind"), _bind),
}
