"""Checks of both kinds of files: names, paths, ports, users, and values that may be there only once.

hyperd checks again: the errors here name the field, which hyperd's cannot.
"""

from __future__ import annotations

import binascii
import ipaddress
import posixpath
import re
from typing import Any, Final

from hyper.addresses import parse_network
from hyper.errors import InvalidRequest
from hyper.ids import is_valid_name
from hyper.types.container import PortBinding

#: Of a file that is put into a container; the protocol's bound.
MAX_FILE_BYTES: Final = 256 * 1024
#: Ports that a pod publishes or names, ranges counted port by port.
MAX_PORTS: Final = 2_000
_MAX_PATH: Final = 4_000
_NAME: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
_HOST_LABEL: Final = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?")
_MAX_HOSTNAME: Final = 63
_VARIABLE: Final = re.compile(r"[^=\s]+")
_EVERYWHERE: Final = ("", "0.0.0.0")
PROTOCOLS: Final = ("tcp", "udp")


def pod_name(text: str, path: str) -> str:
    """``text``, a name for a pod.

    Raises:
        InvalidRequest: it is no such name.
    """
    if not is_valid_name(text) or len(text) > 190:
        raise InvalidRequest(
            f"{path}: {text[:80]!r} is no name for a pod",
            hint="use letters, digits, _ . and -, a letter or a digit first, two at least",
        )
    return text


def part_name(text: str, path: str) -> str:
    """``text``, a name for a container or a volume of a pod.

    Raises:
        InvalidRequest: it is no such name.
    """
    if _NAME.fullmatch(text) is None:
        raise InvalidRequest(
            f"{path}: {text[:80]!r} is no name",
            hint="use up to 63 letters, digits, _ . and -, a letter or a digit first",
        )
    return text


def hostname(text: str, path: str) -> str:
    """``text``, a host name. Source: RFC 1123, 2.1.

    Raises:
        InvalidRequest: it is no host name.
    """
    if len(text) > _MAX_HOSTNAME or not all(map(_HOST_LABEL.fullmatch, text.split("."))):
        raise InvalidRequest(
            f"{path}: {text[:80]!r} is no host name",
            hint="use up to 63 letters, digits and -, in words with dots between them",
        )
    return text


def made_hostname(name: str) -> str:
    """The host name of a pod called ``name`` that asks for none: "" where ``name`` cannot be a host name."""
    text = name[:_MAX_HOSTNAME]
    return text if all(map(_HOST_LABEL.fullmatch, text.split("."))) else ""


def guest_path(text: str, path: str) -> str:
    """``text``, an absolute path in a container, in its shortest form.

    Raises:
        InvalidRequest: it is relative, climbs, or is too long.
    """
    if not text.startswith("/"):
        raise InvalidRequest(f"{path}: {text[:80]!r} must be an absolute path")
    if ".." in text.split("/"):
        raise InvalidRequest(f"{path}: {text[:80]!r} climbs: .. is not allowed")
    if len(text.encode()) > _MAX_PATH:
        raise InvalidRequest(f"{path}: the path is longer than {_MAX_PATH} bytes")
    return posixpath.normpath("/" + text.lstrip("/"))


def inner_path(text: str, path: str) -> str:
    """``text``, a path below a volume's root.

    Raises:
        InvalidRequest: it is absolute, climbs, or is too long.
    """
    if text.startswith("/"):
        raise InvalidRequest(f"{path}: {text[:80]!r} must be relative to the volume")
    return guest_path("/" + text, path)[1:]


def variable(name: str, path: str) -> str:
    """``name``, the name of an environment variable.

    Raises:
        InvalidRequest: it is no such name.
    """
    if _VARIABLE.fullmatch(name) is None:
        raise InvalidRequest(f"{path}: {name[:80]!r} is no name for a variable")
    return name


def address(text: str, path: str) -> str:
    """``text``, an IP address.

    Raises:
        InvalidRequest: it is no IP address.
    """
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise InvalidRequest(f"{path}: {text[:80]!r} is no IP address") from None
    return text


def network(text: str, path: str) -> str:
    """``text``, an IP network.

    Raises:
        InvalidRequest: it is no IP network, or has bits of a host.
    """
    try:
        parse_network(text)
    except ValueError as error:
        raise InvalidRequest(f"{path}: {error}") from None
    return text


def protocol(text: str, path: str) -> str:
    """The protocol ``tcp`` or ``udp`` that ``text`` names.

    Raises:
        InvalidRequest: it names another one.
    """
    if text.lower() not in PROTOCOLS:
        raise InvalidRequest(f"{path}: {text[:20]!r} ports cannot be had: use tcp or udp")
    return text.lower()


def base64_decoded(text: bytes, path: str) -> bytes:
    """The bytes that ``text`` has in base64; white space in it is skipped.

    Raises:
        InvalidRequest: it is no base64.
    """
    letters = b"".join(text.split())
    if len(letters) % 4:  # which the strict mode lets pass where the padding is too long
        raise InvalidRequest(f"{path}: it is not base64: incorrect padding")
    try:
        return binascii.a2b_base64(letters, strict_mode=True)
    except binascii.Error as error:
        raise InvalidRequest(f"{path}: it is not base64: {str(error).lower()}") from None


class Unique:
    """Keys that may be in a description once. ``what`` names the kind of key in an error."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._at: dict[object, str] = {}

    def add(self, key: object, path: str) -> None:
        """``key`` is noted as the one at ``path``.

        Raises:
            InvalidRequest: it is at another path, too.
        """
        if key in self._at:
            raise InvalidRequest(f"{path}: the {self._what} {key} is that of {self._at[key]}, too")
        self._at[key] = path

    def __contains__(self, key: object) -> bool:
        return key in self._at


class Ports:
    """Ports of a pod. Containers share one network stack: a port is one container's, a port of the host one port's."""

    def __init__(self) -> None:
        self.exposed: dict[str, dict[str, Any]] = {}
        self.bindings: dict[str, list[PortBinding] | None] = {}
        self._owners: dict[str, tuple[str, str]] = {}
        #: Host port and protocol -> addresses it is taken on, each with where it is said.
        self._places: dict[tuple[str, str], list[tuple[str, str]]] = {}
        self._count = 0

    def add(
        self, path: str, port: int, protocol: str, *, owner: str = "", host: str = "", ip: str = ""
    ) -> None:
        """A port of the pod is added, on which the container ``owner`` listens ("": no container in particular).

        It is published on the port ``host`` of the host ("": not published; "0": on a free port).

        Raises:
            InvalidRequest: another container has the port, or another port that port of the host.
        """
        spec = f"{port}/{protocol}"
        if owner:
            other, there = self._owners.setdefault(spec, (owner, path))
            if other != owner:
                raise InvalidRequest(
                    f"{path}: port {spec} is that of container {other}, too",
                    hint=f"containers of a pod share their ports; see {there}",
                )
        self._count += 1
        self.exposed[spec] = {}
        if host:
            self._publish(path, spec, host, ip)
        if self._count > MAX_PORTS:
            raise InvalidRequest(f"{path}: these are more than {MAX_PORTS} ports")

    def _publish(self, path: str, spec: str, host: str, ip: str) -> None:
        protocol = spec.partition("/")[2]
        taken = self._places.setdefault((host, protocol), [])
        for other, there in taken if host != "0" else ():
            if ip == other or ip in _EVERYWHERE or other in _EVERYWHERE:
                raise InvalidRequest(
                    f"{path}: port {host}/{protocol} of the host is that of {there}, too"
                )
        taken.append((ip, path))
        place = PortBinding(host_ip=ip, host_port="" if host == "0" else host)
        places = self.bindings.setdefault(spec, [])
        assert places is not None
        places.append(place)
