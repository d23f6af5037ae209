"""The image manifest of an App Container Image, checked. Pure.

Unknown members are ignored, as the spec wants its readers to be compatible within a major version; what we know is
checked as a whole before anything is done with it.

Source: appc spec v0.8.11, aci.md ("Image Manifest Schema"), types.md.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from hyper.errors import InvalidRequest
from hyper.image.aci import names
from hyper.units import KIB, MIB

#: Longest manifest, most entries of any of its lists, longest path in it.
MAX_MANIFEST_BYTES: Final = 1 * MIB
MAX_ITEMS: Final = 10_000
MAX_PATH: Final = 4095
MAX_DEPENDENCIES: Final = 64
MAX_PORTS: Final = 1024
MAX_SUPPLEMENTARY_GROUPS: Final = 64
MAX_VALUE: Final = 128 * KIB

KIND: Final = "ImageManifest"
PRE_START, POST_STOP = "pre-start", "post-stop"
_VERSION = re.compile(r"(0|[1-9][0-9]*)\.[0-9]+\.[0-9]+(?:[-+][0-9A-Za-z.+-]+)?")
_VARIABLE = re.compile(r"[A-Za-z0-9_.-]+")


class Pair(msgspec.Struct, frozen=True):
    """A name with a value: a label, a variable, an annotation."""

    name: str
    value: str


class EventHandler(msgspec.Struct, frozen=True):
    """A program to run before or after the application's own."""

    name: str
    exec: tuple[str, ...]


class Isolator(msgspec.Struct, frozen=True):
    """A limit of the application. ``name`` decides what ``value`` is."""

    name: str
    value: Any = None


class MountPoint(msgspec.Struct, frozen=True, rename="camel"):
    """A place where the application expects data from outside."""

    name: str
    path: str
    read_only: bool = False


class Port(msgspec.Struct, frozen=True, rename="camel"):
    """Ports that the application listens on."""

    name: str
    port: int
    protocol: str
    count: int = 1
    socket_activated: bool = False


class App(
    msgspec.Struct,
    frozen=True,
    rename={
        "supplementary_gids": "supplementaryGIDs",
        "event_handlers": "eventHandlers",
        "working_directory": "workingDirectory",
        "mount_points": "mountPoints",
        "user_labels": "userLabels",
    },
):
    """The application: how to run the image."""

    user: str
    group: str
    exec: tuple[str, ...] | None = None
    supplementary_gids: tuple[int, ...] | None = None
    event_handlers: tuple[EventHandler, ...] | None = None
    working_directory: str | None = None
    environment: tuple[Pair, ...] | None = None
    isolators: tuple[Isolator, ...] | None = None
    mount_points: tuple[MountPoint, ...] | None = None
    ports: tuple[Port, ...] | None = None
    user_labels: dict[str, str] | None = None


class Dependency(
    msgspec.Struct, frozen=True, rename={"image_name": "imageName", "image_id": "imageID"}
):
    """A dependency: an image whose files come below. ``size``: of its archive as it is fetched, in bytes."""

    image_name: str
    image_id: str | None = None
    labels: tuple[Pair, ...] | None = None
    size: int | None = None

    def wanted(self) -> names.Wanted:
        """The image to find."""
        return names.Wanted(self.image_name, by_name(self.labels))


class ImageManifest(
    msgspec.Struct,
    frozen=True,
    rename={"ac_kind": "acKind", "ac_version": "acVersion", "path_whitelist": "pathWhitelist"},
):
    """The manifest of an image."""

    ac_kind: str
    ac_version: str
    name: str
    labels: tuple[Pair, ...] | None = None
    app: App | None = None
    dependencies: tuple[Dependency, ...] | None = None
    path_whitelist: tuple[str, ...] | None = None
    annotations: tuple[Pair, ...] | None = None

    def label_map(self) -> dict[str, str]:
        """The labels of the image."""
        return by_name(self.labels)


class _Head(msgspec.Struct, rename={"ac_kind": "acKind", "ac_version": "acVersion"}):
    """The head of a manifest, which tells whether the rest can be understood."""

    ac_kind: str
    ac_version: str


def by_name(pairs: Iterable[Pair] | None) -> dict[str, str]:
    """The labels or annotations ``pairs`` as a mapping."""
    return {pair.name: pair.value for pair in pairs or ()}


def decode(data: bytes) -> ImageManifest:
    """The manifest in ``data``, all of which is usable.

    Raises:
        InvalidRequest: too long, no JSON, another kind or version, a member that is missing or breaks a rule.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise _bad(f"longer than {MAX_MANIFEST_BYTES} bytes")
    try:
        plain = msgspec.json.decode(data)
        if not isinstance(plain, dict):
            raise _bad("no JSON object")
        _check_head(msgspec.convert(plain, _Head))
        manifest = msgspec.convert(_spelled(plain), ImageManifest)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise _bad(str(error)) from None
    _check(manifest)
    return manifest


def _check_head(head: _Head) -> None:
    if head.ac_kind != KIND:
        raise _bad(f"acKind is {head.ac_kind[:50]!r} and not {KIND!r}")
    match = _VERSION.fullmatch(head.ac_version)
    if match is None:
        raise _bad(f"acVersion {head.ac_version[:50]!r} is no version")
    if match[1] != "0":
        raise _bad(f"acVersion {head.ac_version[:50]} is of a spec that Hyper does not know (0.x)")


def _spelled(plain: dict[str, Any]) -> dict[str, Any]:
    """The manifest in one spelling: the spec's example has supplementaryGids, its schema supplementaryGIDs.

    Go reads both.
    """
    app = plain.get("app")
    if isinstance(app, dict) and "supplementaryGids" in app:
        groups = {"supplementaryGIDs": app["supplementaryGids"]}
        return {**plain, "app": {**groups, **app}}
    return plain


def _check(manifest: ImageManifest) -> None:
    _identifier(manifest.name, "name")
    _check_pairs(manifest.labels, "labels", identifiers=True)
    names.check_labels(manifest.label_map(), "image manifest")
    _check_pairs(manifest.annotations, "annotations", identifiers=True)
    _count(manifest.path_whitelist, "pathWhitelist")
    for path in manifest.path_whitelist or ():
        _absolute(path, "pathWhitelist")
    _count(manifest.dependencies, "dependencies", most=MAX_DEPENDENCIES)
    for dependency in manifest.dependencies or ():
        _check_dependency(dependency)
    if manifest.app is not None:
        _check_app(manifest.app)


def _check_dependency(dependency: Dependency) -> None:
    _identifier(dependency.image_name, "dependencies: imageName")
    if dependency.image_id is not None and not names.is_image_id(dependency.image_id):
        raise _bad(f"dependencies: imageID {dependency.image_id[:80]!r} is no sha512-… of an image")
    _check_pairs(dependency.labels, "dependencies: labels", identifiers=True)
    names.check_labels(by_name(dependency.labels), "image manifest: dependencies")
    if dependency.size is not None and dependency.size < 0:
        raise _bad(f"dependencies: the size of {dependency.image_name} is negative")


def _check_app(app: App) -> None:
    if not app.user or not app.group:
        raise _bad("app.user and app.group must not be empty")
    if ":" in app.user + app.group:
        raise _bad("app.user and app.group must not have a colon")
    for path in (app.user, app.group):
        if path.startswith("/"):
            _absolute(path, "app.user, app.group")
    if app.exec is not None:
        _check_exec(app.exec, "app.exec")
    if app.working_directory:
        _absolute(app.working_directory, "app.workingDirectory")
    _count(app.supplementary_gids, "app.supplementaryGIDs", most=MAX_SUPPLEMENTARY_GROUPS)
    if any(not 0 <= gid < 2**32 - 1 for gid in app.supplementary_gids or ()):
        raise _bad("app.supplementaryGIDs: a group id that cannot be")
    _check_handlers(app.event_handlers or ())
    _check_pairs(app.environment, "app.environment", identifiers=False)
    for variable in app.environment or ():
        if _VARIABLE.fullmatch(variable.name) is None:
            raise _bad(f"app.environment: {variable.name[:100]!r} is no name of a variable")
    _count(app.isolators, "app.isolators")
    for isolator in app.isolators or ():
        _identifier(isolator.name, "app.isolators")
    _check_mount_points(app.mount_points or ())
    _check_ports(app.ports or ())


def _check_exec(words: tuple[str, ...], where: str) -> None:
    _count(words, where)
    if not words or not words[0]:
        raise _bad(f"{where} names no program")


def _check_handlers(handlers: tuple[EventHandler, ...]) -> None:
    _unique([handler.name for handler in handlers], "app.eventHandlers")
    for handler in handlers:
        if handler.name not in (PRE_START, POST_STOP):
            raise _bad(
                f"app.eventHandlers: {handler.name[:50]!r} is neither {PRE_START} nor {POST_STOP}"
            )
        _check_exec(handler.exec, f"app.eventHandlers: {handler.name}")


def _check_mount_points(points: tuple[MountPoint, ...]) -> None:
    _unique([point.name for point in points], "app.mountPoints")
    _unique([posixpath.normpath(point.path) for point in points], "app.mountPoints")
    for point in points:
        _ac_name(point.name, "app.mountPoints")
        _absolute(point.path, "app.mountPoints")
        if posixpath.normpath(point.path).strip("/") == "":
            raise _bad(f"app.mountPoints: {point.name} would be mounted over /")


def _check_ports(ports: tuple[Port, ...]) -> None:
    _count(ports, "app.ports", most=MAX_PORTS)
    _unique([port.name for port in ports], "app.ports")
    for port in ports:
        _ac_name(port.name, "app.ports")
        if port.protocol.lower() not in ("tcp", "udp"):
            raise _bad(
                f"app.ports: {port.name} is for {port.protocol[:20]!r}; tcp and udp are known"
            )
        if port.port < 1 or port.count < 1 or port.port + port.count - 1 > 65535:
            raise _bad(
                f"app.ports: {port.name} is {port.port}, {port.count} of them: no such ports"
            )


def _check_pairs(pairs: tuple[Pair, ...] | None, where: str, *, identifiers: bool) -> None:
    _count(pairs, where)
    _unique([pair.name for pair in pairs or ()], where)
    for pair in pairs or ():
        if identifiers:
            _identifier(pair.name, where)
        if len(pair.value) > MAX_VALUE:
            raise _bad(f"{where}: the value of {pair.name[:100]} is too long")


def _count(items: Any, where: str, *, most: int = MAX_ITEMS) -> None:
    if items is not None and len(items) > most:
        raise _bad(f"{where}: {len(items)} entries (at most {most})")


def _unique(found: list[str], where: str) -> None:
    seen: set[str] = set()
    for name in found:
        if name in seen:
            raise _bad(f"{where}: {name[:100]!r} comes twice")
        seen.add(name)


def _identifier(text: str, where: str) -> None:
    if not names.is_identifier(text):
        raise _bad(f"{where}: {text[:100]!r} is no AC Identifier")


def _ac_name(text: str, where: str) -> None:
    if not names.is_name(text):
        raise _bad(f"{where}: {text[:100]!r} is no AC Name")


def _absolute(path: str, where: str) -> None:
    if not path.startswith("/") or ".." in path.split("/") or "\0" in path or len(path) > MAX_PATH:
        raise _bad(f"{where}: {path[:100]!r} is no absolute path within the image")


def _bad(why: str) -> InvalidRequest:
    return InvalidRequest(f"invalid image manifest: {why}")
