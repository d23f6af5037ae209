"""What an App Container Image wants for its containers, and who wins."""

from __future__ import annotations

from typing import Any

import pytest

from hyper.cli.ports import Published
from hyper.engine.record.mount import MountPoint
from hyper.engine.record.sandbox import Placement
from hyper.engine.spec import agent_requests, app_image, capabilities
from hyper.errors import InvalidRequest
from hyper.types.aci import Aci, AciMount, AciPort
from hyper.types.container import ContainerConfig, HostConfig, PortBinding
from hyper.units import MIB
from tests.support.records import plain_record

BOUNDS = app_image.Bounds(memory_mib=1024, cpus=2)


def aci(**wants: Any) -> Aci:
    return Aci("sha512-0", "example.com/app", **wants)


def filled(host: HostConfig, image: Aci) -> tuple[HostConfig, list[str]]:
    return app_image.filled(host, image, BOUNDS)


def test_limits_of_the_image_are_the_machine_s() -> None:
    """Where the client says none."""
    host, warnings = filled(HostConfig(), aci(memory=256 * MIB, nano_cpus=1_500_000_000))
    assert warnings == []
    assert (host.memory, host.nano_cpus) == (256 * MIB, 1_500_000_000)


def test_the_client_s_limits_win() -> None:
    """Each by itself; CPUs however they are said."""
    wants = aci(memory=256 * MIB, nano_cpus=1_500_000_000)
    host, warnings = filled(HostConfig(memory=64 * MIB, cpu_quota=50_000), wants)
    assert warnings == []
    assert (host.memory, host.nano_cpus, host.cpu_quota) == (64 * MIB, 0, 50_000)


def test_limits_that_no_machine_here_can_have_are_brought_into_range() -> None:
    """Too much and too little, each with a warning."""
    host, warnings = filled(HostConfig(), aci(memory=2**40, nano_cpus=64 * 10**9))
    assert (host.memory, host.nano_cpus) == (1024 * MIB, 2 * 10**9)
    assert warnings == [
        "The image's memory limit of 1048576 MiB became 1024 MiB here.",
        "The image's limit of 64 CPUs became 2 here.",
    ]
    host, warnings = filled(HostConfig(), aci(memory=1))
    assert len(warnings) == 1
    assert host.memory == 6 * MIB


@pytest.mark.parametrize(
    ("wants", "host", "has", "has_not"),
    [
        ({"retain": ("KILL", "NET_ADMIN")}, HostConfig(), "KILL NET_ADMIN", "CHOWN"),
        ({"remove": ("KILL", "SYS_ADMIN")}, HostConfig(), "CHOWN", "KILL SYS_ADMIN"),
        ({"retain": ("KILL",)}, HostConfig(cap_add=["CAP_CHOWN"]), "KILL CHOWN", "SETUID"),
        ({"retain": ("KILL", "CHOWN")}, HostConfig(cap_drop=["kill"]), "CHOWN", "KILL"),
        ({"remove": ("KILL",)}, HostConfig(cap_add=["KILL"]), "KILL CHOWN", "SYS_ADMIN"),
        ({"retain": ("KILL",)}, HostConfig(cap_add=["ALL"]), "SYS_ADMIN", ""),
        ({"retain": ("KILL",)}, HostConfig(privileged=True), "SYS_ADMIN", ""),
        ({"retain": ()}, HostConfig(), "", "KILL CHOWN"),
    ],
)
def test_capabilities_are_the_image_s_under_the_client_s(
    wants: dict[str, Any], host: HostConfig, has: str, has_not: str
) -> None:
    """What is kept, what is taken away, and the client's word on the same capability."""
    found = capabilities.names(filled(host, aci(**wants))[0])
    assert set(has.split()) <= found
    assert not set(has_not.split()) & found


def test_unknown_capabilities_and_isolators_are_told() -> None:
    """They have no effect, and nobody is to think so."""
    _, warnings = filled(HostConfig(), aci(retain=("FLY",), ignored=("resource/magic",)))
    assert warnings == [
        "Capabilities of the image that Hyper does not know: FLY.",
        "Isolators of the image without effect: resource/magic.",
    ]


def test_groups_and_privileges() -> None:
    """On top of the client's groups; no new privileges unless the client spoke of it."""
    asked = HostConfig(group_add=["5"])
    host, _ = filled(asked, aci(groups=(5, 6), no_new_privileges=True))
    assert asked == HostConfig(group_add=["5"])
    assert host.group_add == ["5", "6"]
    assert host.security_opt == ["no-new-privileges"]
    asked = HostConfig(security_opt=["no-new-privileges=false"])
    host, _ = filled(asked, aci(no_new_privileges=True))
    assert host.security_opt == ["no-new-privileges=false"]


@pytest.mark.parametrize("spec", ["8080:http", "http:8080", "127.0.0.1:8080:http"])
def test_ports_are_published_by_name(spec: str) -> None:
    """As Docker would write it, and as rkt does; the daemon knows the number."""
    ports = Published()
    ports.publish(spec)
    ip = "127.0.0.1" if spec.startswith("127") else ""
    assert ports.bindings == {"http": [{"HostIp": ip, "HostPort": "8080"}]}
    asked = HostConfig(
        port_bindings={"http": [PortBinding(ip, "8080")], "80/tcp": [PortBinding("", "81")]}
    )
    host, _ = filled(asked, aci(ports=(AciPort("http", 80, "tcp"),)))
    assert host.port_bindings == {"80/tcp": [PortBinding(ip, "8080"), PortBinding("", "81")]}


def test_a_range_with_a_name_is_published_whole() -> None:
    """One after the other from the host's port on; any free ones without it."""
    ports = (AciPort("data", 2000, "udp", 3),)
    for given, expected in (("9000", ["9000", "9001", "9002"]), ("", ["", "", ""])):
        asked = HostConfig(port_bindings={"data": [PortBinding("", given)]})
        host, _ = filled(asked, aci(ports=ports))
        found = host.port_bindings or {}
        assert list(found) == ["2000/udp", "2001/udp", "2002/udp"]
        assert [place.host_port for places in found.values() for place in places or []] == expected


def test_a_name_that_no_port_has_is_refused() -> None:
    """With the names there are; also where the image has none."""
    for image, hint in (
        (aci(ports=(AciPort("http", 80, "tcp"),)), "it has http"),
        (None, "no ports"),
    ):
        with pytest.raises(InvalidRequest, match="no port called 'web'") as failure:
            app_image.filled(HostConfig(port_bindings={"web": None}), image, BOUNDS)
        assert hint in (failure.value.hint or "")


def test_mount_points_may_be_read_only() -> None:
    """Volumes that the image asked for, not what the client put there."""
    image = aci(
        mount_points=(AciMount("a", "/a/", True), AciMount("b", "/b"), AciMount("c", "/c", True))
    )
    points = [
        MountPoint("volume", "/a", volume="1", anonymous=True),
        MountPoint("volume", "/b", volume="2", anonymous=True),
        MountPoint("volume", "/c", volume="mine"),
    ]
    found = app_image.protect(points, ContainerConfig(), image)
    assert [point.read_only for point in found] == [True, False, False]
    asked = ContainerConfig(volumes={"/a": {}})
    assert [point.read_only for point in app_image.protect(points, asked, image)] == [False] * 3


def test_handlers_are_words_before_the_program_s() -> None:
    """The header that the reaper reads (docs/protocol.md)."""
    image = aci(pre_start=("a", "b"), post_stop=("c",))
    record = plain_record(ContainerConfig(cmd=["main"]), aci=image)
    start = agent_requests.main_program(record, Placement())
    assert start.args == ("", "2", "1", "a", "b", "c", "main")
    assert start.flags & agent_requests.ProcessFlag.REAPER
    for without in (aci(), None):
        record = plain_record(ContainerConfig(cmd=["main"]), aci=without)
        assert agent_requests.main_program(record, Placement()).args == ("main",)
