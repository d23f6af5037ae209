"""Mount points of a container: one list, from what clients ask (Binds, Mounts, VolumesFrom, Volumes). Pure.

Source of rules and texts: moby, volume/mounts (linux_parser.go, validate.go), daemon/volumes.go. The others win over
VolumesFrom, two of the client's own at one path are a mistake, and an image's volume gives way to all of them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from typing import Final

from msgspec.structs import replace

from hyper.engine.record.mount import BIND, TMPFS, VOLUME, MountPoint
from hyper.errors import HyperError, InvalidRequest
from hyper.ids import NAME_PATTERN, is_valid_name, new_id
from hyper.types.container import ContainerConfig, HostConfig
from hyper.types.mount import MountSpec, TmpfsOptions

DRIVER: Final = "local"
#: PATH_MAX of Linux.
MAX_PATH: Final = 4095
MAX_MOUNTS: Final = 256
_PROPAGATIONS: Final = frozenset("private rprivate slave rslave shared rshared".split())
_KEPT_APART: Final = frozenset({"", "private", "rprivate"})
#: What the mode of ``-v`` may be made of; one of each line.
_MODES: Final = (
    frozenset({"rw", "ro"}),
    frozenset({"z", "Z"}),
    frozenset({"nocopy"}),
    _PROPAGATIONS,
    frozenset({"consistent", "cached", "delegated"}),
)


def mount_points(
    config: ContainerConfig,
    host: HostConfig,
    *,
    volumes_of: Callable[[str], Iterable[MountPoint]],
    exists: Callable[[str], bool],
) -> list[MountPoint]:
    """The mount points of a container of ``config`` and ``host``; names of anonymous volumes are new.

    ``volumes_of``: the mount points of another container by name. ``exists``: whether a host path does.

    Raises:
        InvalidRequest: in Docker's words. NotFound: from ``volumes_of``.
    """
    found = {point.target: point for point in _inherited(host, volumes_of)}
    asked: dict[str, MountPoint] = {}
    tmpfs = {clean(target) for target in host.tmpfs or {}}
    for raw in host.binds or []:
        _add(asked, tmpfs, parse_bind(raw))
    for spec in host.mounts or []:
        _add(asked, tmpfs, from_spec(spec, exists=exists))
    found |= asked
    for target in config.volumes or {}:
        place = _target(target)
        if place not in found and place not in tmpfs:
            found[place] = _anonymous(place)
    if any(point.kind == VOLUME for point in found.values()):
        _check_driver(host.volume_driver)
    if len(found) > MAX_MOUNTS:
        raise InvalidRequest(f"too many mounts: {len(found)}, at most {MAX_MOUNTS}")
    return list(found.values())


def warnings(points: Iterable[MountPoint], *, is_socket: Callable[[str], bool]) -> list[str]:
    """Warnings: what of ``points`` has no effect in a machine. ``is_socket``: whether a host path is a unix socket."""
    found = []
    for point in points:
        if point.propagation not in _KEPT_APART:
            found.append(
                f"Mount propagation {point.propagation} of {point.target} has no effect: "
                "a virtual machine has its own mounts."
            )
        if point.kind == BIND and is_socket(point.source):
            found.append(
                f"Bind mount {point.source} is a unix socket of the host, which nothing in a virtual machine can "
                "connect to: use TCP instead."
            )
    return found


def shared_warnings(
    points: Iterable[MountPoint], others: Iterable[tuple[str, Iterable[MountPoint]]]
) -> list[str]:
    """Warnings about files that two virtual machines have. ``others``: names and mounts of the other containers."""
    mine = {_what(point): point for point in points if point.kind in (BIND, VOLUME)}
    found: dict[str, str] = {}
    for name, theirs in others:
        for point in theirs:
            own = mine.get(_what(point))
            if own is not None and not (own.read_only and point.read_only):
                found.setdefault(_what(point)[1], name)
    return [
        f"{what} is also mounted by the running container {name}, in another virtual machine: files and locks are "
        "shared, unix sockets and memory-mapped writes (SQLite's WAL mode) are not. "
        f"--network container:{name} runs both in one machine."
        for what, name in found.items()
    ]


def _what(point: MountPoint) -> tuple[str, str]:
    return (point.kind, point.volume or point.source)


def _add(asked: dict[str, MountPoint], tmpfs: set[str], point: MountPoint) -> None:
    if point.target in asked or point.target in tmpfs:
        raise InvalidRequest(f"Duplicate mount point: {point.target}")
    asked[point.target] = point


def _anonymous(target: str) -> MountPoint:
    return MountPoint(VOLUME, target, volume=new_id(), anonymous=True)


def _inherited(
    host: HostConfig, volumes_of: Callable[[str], Iterable[MountPoint]]
) -> Iterable[MountPoint]:
    for spec in host.volumes_from or []:
        name, _, mode = spec.partition(":")
        if not name:
            raise InvalidRequest(f"malformed volumes-from specification: {spec!r}")
        _check_mode(mode)
        for point in volumes_of(name):
            if point.kind != TMPFS:
                # What is another's anonymous volume stays to be removed with the last that has it.
                read_only = point.read_only or "ro" in mode.split(",")
                yield replace(point, read_only=read_only, mode=mode)


def _check_mode(mode: str) -> None:
    words = mode.split(",") if mode else []
    known = [sum(word in group for word in words) for group in _MODES]
    if sum(known) != len(words) or any(count > 1 for count in known):
        raise InvalidRequest(f"invalid mode: {mode[:100]}")


def parse_bind(raw: str) -> MountPoint:
    """The mount point that ``[SOURCE:]TARGET[:MODE]`` (``-v``) asks for.

    Raises:
        InvalidRequest: it is not of that form, or one of its parts is not valid.
    """
    parts = raw.split(":")
    invalid = f"invalid volume specification: '{raw[:300]}'"
    if not parts[0] or len(parts) > 3 or (len(parts) == 2 and _is_mode(parts[1])):
        raise InvalidRequest(invalid)
    mode = parts[2] if len(parts) == 3 else ""
    _check_mode(mode)
    words = mode.split(",") if mode else []
    try:
        target = _target(parts[0] if len(parts) == 1 else parts[1])
    except InvalidRequest as error:
        raise InvalidRequest(f"{invalid}: {error.message}") from None
    if len(parts) == 1:
        return _anonymous(target)
    point = MountPoint(BIND, target, mode=mode, read_only="ro" in words, no_copy="nocopy" in words)
    if parts[0].startswith("/"):
        propagation = next((word for word in words if word in _PROPAGATIONS), "rprivate")
        source = clean(_path(parts[0]))
        return replace(point, source=source, propagation=propagation, create=True)
    check_name(parts[0])
    return replace(point, kind=VOLUME, volume=parts[0], mode=mode or "z")


def _is_mode(text: str) -> bool:
    try:
        _check_mode(text)
    except InvalidRequest:
        return False
    return bool(text)


def from_spec(spec: MountSpec, *, exists: Callable[[str], bool]) -> MountPoint:
    """The mount point that one of HostConfig.Mounts asks for.

    Raises:
        InvalidRequest: something about it is not valid.
    """
    try:
        return _KINDS.get(spec.type, _unknown)(spec, exists)
    except HyperError as error:
        text = f'invalid mount config for type "{spec.type[:100]}": {error.message}'
        raise InvalidRequest(text, hint=error.hint) from None


def _unknown(spec: MountSpec, exists: Callable[[str], bool]) -> MountPoint:
    raise InvalidRequest("mount type unknown")


def _bind(spec: MountSpec, exists: Callable[[str], bool]) -> MountPoint:
    target, options = _target(spec.target), spec.bind_options
    if not spec.source:
        raise _must_not_be_empty("Source")
    propagation = options.propagation if options else ""
    if propagation and propagation not in _PROPAGATIONS:
        raise InvalidRequest(f"invalid propagation mode: {propagation[:100]}")
    _refuse("VolumeOptions", spec.volume_options)
    _refuse("TmpfsOptions", spec.tmpfs_options)
    _check_absolute(spec.source)
    create = bool(options and options.create_mountpoint)
    if options and (options.non_recursive or options.read_only_non_recursive):
        raise InvalidRequest("NonRecursive is not possible: what is mounted below is always seen")
    source = clean(_path(spec.source))
    if not create and not exists(source):
        raise source_is_missing(source)
    return MountPoint(
        BIND,
        target,
        source=source,
        read_only=spec.read_only,
        propagation=propagation or "rprivate",
        create=create,
    )


def source_is_missing(source: str) -> InvalidRequest:
    """The error for a host path that is not there and is not to be made, in Docker's words."""
    return InvalidRequest(f"bind source path does not exist: {source}")


def _volume(spec: MountSpec, _: Callable[[str], bool]) -> MountPoint:
    target, options = _target(spec.target), spec.volume_options
    _refuse("BindOptions", spec.bind_options)
    _refuse("TmpfsOptions", spec.tmpfs_options)
    subpath = options.subpath if options else ""
    if not spec.source:
        if subpath:
            raise InvalidRequest("must not set Subpath when using anonymous volumes")
        if spec.read_only:
            raise InvalidRequest("must not set ReadOnly mode when using anonymous volumes")
    else:
        check_name(spec.source)
    if subpath and not _is_local(subpath):
        raise InvalidRequest("subpath must be a relative path within the volume")
    driver = options.driver_config if options else None
    _check_driver(driver.name if driver else "")
    return MountPoint(
        VOLUME,
        target,
        volume=spec.source or new_id(),
        anonymous=not spec.source,
        read_only=spec.read_only,
        mode="z",
        no_copy=bool(options and options.no_copy),
        subpath=posixpath.normpath(subpath) if subpath else "",
        labels=_pairs(options.labels) if options else None,
        driver_options=_pairs(driver.options) if driver else None,
    )


def _pairs(members: dict[str, str] | None) -> tuple[tuple[str, str], ...] | None:
    return None if members is None else tuple(members.items())


def _tmpfs(spec: MountSpec, _: Callable[[str], bool]) -> MountPoint:
    target = _target(spec.target)
    _refuse("BindOptions", spec.bind_options)
    _refuse("VolumeOptions", spec.volume_options)
    if spec.source:
        raise InvalidRequest("field Source must not be specified")
    options = _tmpfs_options(spec.tmpfs_options or TmpfsOptions())
    if spec.read_only:
        options.append("ro")
    return MountPoint(TMPFS, target, read_only=spec.read_only, options=",".join(options))


def _tmpfs_options(asked: TmpfsOptions) -> list[str]:
    if asked.size_bytes < 0:
        raise InvalidRequest(f"invalid tmpfs size: {asked.size_bytes}")
    options = [f"size={asked.size_bytes}"] if asked.size_bytes else []
    if asked.mode:
        if not 0 < asked.mode <= 0o7777:
            raise InvalidRequest(f"invalid tmpfs mode: {asked.mode}")
        options.append(f"mode={asked.mode:o}")
    for words in asked.options or []:
        if not 1 <= len(words) <= 2 or any("," in word for word in words):
            raise InvalidRequest(f"invalid option array length: {len(words)}")
        options.append("=".join(words))
    return options


_KINDS: Final = {BIND: _bind, VOLUME: _volume, TMPFS: _tmpfs}


def _must_not_be_empty(name: str) -> InvalidRequest:
    return InvalidRequest(f"field {name} must not be empty")


def _refuse(name: str, value: object) -> None:
    if value is not None:
        raise InvalidRequest(f"field {name} must not be specified")


def _target(path: str) -> str:
    if not path:
        raise _must_not_be_empty("Target")
    _path(path)
    if path.startswith("/") and clean(path) == "/":
        raise InvalidRequest("invalid specification: destination can't be '/'")
    _check_absolute(path)
    return clean(path)


def _check_absolute(path: str) -> None:
    if not path.startswith("/"):
        raise InvalidRequest(f"invalid mount path: '{path[:100]}' mount path must be absolute")


def _path(path: str) -> str:
    if "\0" in path or len(path.encode(errors="replace")) > MAX_PATH:
        raise InvalidRequest(f"invalid mount path: '{path[:100]}' no file can have it")
    return path


def clean(path: str) -> str:
    """The path without ``.``, ``..`` and doubled slashes, as Go's path.Clean has it."""
    return re.sub("^//", "/", posixpath.normpath(path))


def _is_local(path: str) -> bool:
    """Whether a relative path stays where it starts (Go's filepath.IsLocal)."""
    _path(path)
    cleaned = posixpath.normpath(path)
    return not path.startswith("/") and cleaned != ".." and not cleaned.startswith("../")


def check_name(name: str) -> None:
    """The name ``name`` can be a volume's.

    Raises:
        InvalidRequest: it cannot (Docker's words).
    """
    if len(name) == 1:
        raise InvalidRequest(
            f"create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )
    if not is_valid_name(name):
        allowed = NAME_PATTERN.pattern.removesuffix("+")
        raise InvalidRequest(
            f'create {name[:300]}: "{name[:300]}" includes invalid characters for a local volume name, '
            f'only "{allowed}" are allowed. If you intended to pass a host directory, use absolute path'
        )


def _check_driver(name: str) -> None:
    if name not in ("", DRIVER):
        raise InvalidRequest(
            f'error looking up volume plugin {name[:100]}: plugin "{name[:100]}" not found'
        )
