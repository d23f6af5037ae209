"""Devices that a container may use: those of its machine's own kernel, by the names they have on any Linux. Pure.

Source: kernel Documentation/admin-guide/devices.txt; rules and errors: moby, daemon/oci_linux.go and opts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from hyper.errors import InvalidRequest
from hyper.proto.message import ALL_NUMBERS, Device, DeviceType
from hyper.types.container import DeviceMapping, HostConfig

_MKNOD, _READ, _WRITE = 1, 2, 4
_ACCESS: Final = {"m": _MKNOD, "r": _READ, "w": _WRITE}
_MAX_MAJOR, _MAX_MINOR = 4095, 2**20 - 1


@dataclass(frozen=True, slots=True)
class _Known:
    type: DeviceType
    major: int
    minor: int
    mode: int = 0o666


#: What can be asked for by name. Modes are udev's: who runs without it finds the same.
KNOWN: Final = {
    "/dev/null": _Known(DeviceType.CHARACTER, 1, 3),
    "/dev/zero": _Known(DeviceType.CHARACTER, 1, 5),
    "/dev/full": _Known(DeviceType.CHARACTER, 1, 7),
    "/dev/random": _Known(DeviceType.CHARACTER, 1, 8),
    "/dev/urandom": _Known(DeviceType.CHARACTER, 1, 9),
    "/dev/kmsg": _Known(DeviceType.CHARACTER, 1, 11, 0o644),
    "/dev/tty": _Known(DeviceType.CHARACTER, 5, 0),
    "/dev/net/tun": _Known(DeviceType.CHARACTER, 10, 200),
    "/dev/fuse": _Known(DeviceType.CHARACTER, 10, 229),
    "/dev/loop-control": _Known(DeviceType.CHARACTER, 10, 237, 0o660),
    **{f"/dev/loop{n}": _Known(DeviceType.BLOCK, 7, n, 0o660) for n in range(8)},
}
_RULE: Final = re.compile(r"([acb]) ([0-9]{1,7}|\*):([0-9]{1,7}|\*) ([rwm]{1,3})", re.ASCII)
_TYPES: Final = {
    "a": DeviceType.ANY,
    "b": DeviceType.BLOCK,
    "c": DeviceType.CHARACTER,
}


def given(host: HostConfig) -> tuple[Device, ...]:
    """The devices that ``--device`` and ``--device-cgroup-rule`` ask for.

    Raises:
        InvalidRequest: one is none of the machine's, or a rule is not of Docker's form.
    """
    return (
        *(_mapped(mapping) for mapping in host.devices or ()),
        *(_allowed(rule) for rule in host.device_cgroup_rules or ()),
    )


def _mapped(mapping: DeviceMapping) -> Device:
    known = KNOWN.get(mapping.path_on_host)
    if known is None:
        raise InvalidRequest(
            "error gathering device information while adding custom device "
            f'"{mapping.path_on_host[:100]}": a virtual machine has no devices of the host',
            hint=f"its own are {', '.join(sorted(KNOWN))}; --privileged gives all it has",
        )
    path = mapping.path_in_container or mapping.path_on_host
    if not path.startswith("/") or path.endswith("/"):
        raise InvalidRequest(f"invalid path of a device in the container: {path[:100]!r}")
    access = _access(mapping.cgroup_permissions or "rwm")
    return Device(path, known.type, known.major, known.minor, access, known.mode)


def _access(letters: str) -> int:
    if not re.fullmatch("[rwm]{1,3}", letters):
        raise InvalidRequest(f"invalid device mode: {letters[:100]}")
    return sum(_ACCESS[letter] for letter in set(letters))


def _allowed(rule: str) -> Device:
    match = _RULE.fullmatch(rule)
    if match is None:
        raise InvalidRequest(f"invalid device cgroup rule format: '{rule[:100]}'")
    major, minor = (
        ALL_NUMBERS if text == "*" else min(int(text), most)
        for text, most in ((match[2], _MAX_MAJOR + 1), (match[3], _MAX_MINOR + 1))
    )
    return Device("", _TYPES[match[1]], major, minor, _access(match[4]), 0)
