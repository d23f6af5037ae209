"""Devices that a container may use: its machine's own, by Docker's words."""

from __future__ import annotations

import pytest

from hyper.engine.spec import devices
from hyper.errors import InvalidRequest
from hyper.proto.message import ALL_NUMBERS, Device, DeviceType
from hyper.types.container import DeviceMapping, HostConfig


def test_devices_by_name_and_rules() -> None:
    """At the same path or another, with all permissions or some; a rule makes no node."""
    host = HostConfig(
        devices=[DeviceMapping("/dev/fuse"), DeviceMapping("/dev/net/tun", "/dev/tap", "rw")],
        device_cgroup_rules=["c 10:* r", "a *:* rwm", "b 7:9999999 m"],
    )
    assert devices.given(host) == (
        Device("/dev/fuse", DeviceType.CHARACTER, 10, 229, 7, 0o666),
        Device("/dev/tap", DeviceType.CHARACTER, 10, 200, 6, 0o666),
        Device("", DeviceType.CHARACTER, 10, ALL_NUMBERS, 2, 0),
        Device("", DeviceType.ANY, ALL_NUMBERS, ALL_NUMBERS, 7, 0),
        Device("", DeviceType.BLOCK, 7, 2**20, 1, 0),
    )


@pytest.mark.parametrize(
    ("host", "why"),
    [
        (HostConfig(devices=[DeviceMapping("/dev/kvm")]), '"/dev/kvm": .* no devices of the host'),
        (HostConfig(devices=[DeviceMapping("fuse")]), "no devices of the host"),
        (HostConfig(devices=[DeviceMapping("/dev/fuse", "x")]), "invalid path of a device"),
        (HostConfig(devices=[DeviceMapping("/dev/fuse", "/x/")]), "invalid path of a device"),
        (HostConfig(devices=[DeviceMapping("/dev/fuse", "/x", "rx")]), "invalid device mode: rx"),
        *(
            (HostConfig(device_cgroup_rules=[rule]), "invalid device cgroup rule format")
            for rule in ("", "c 1:3", "d 1:3 r", "c 1:x r", "c 1:3 rwmm", "c 1:3 r\n", "c  1:3 r")
        ),
    ],
)
def test_what_is_none_is_refused(host: HostConfig, why: str) -> None:
    """The host's devices, and rules that are not of Docker's form."""
    with pytest.raises(InvalidRequest, match=why):
        devices.given(host)
