"""Creating a container: the client's words, the image's defaults and the host's limits."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest
from msgspec import convert

from hyper.engine.spec import create, resources
from hyper.engine.spec.resources import limits
from hyper.errors import InvalidRequest, NotFound, NotImplementedYet
from hyper.image import platform
from hyper.types.container import ContainerConfig, HostConfig, LogConfig
from hyper.types.oci import Platform
from hyper.types.response import ImageConfig

IMAGE = ImageConfig(
    user="app",
    env=["PATH=/bin", "A=image"],
    entrypoint=["/entry"],
    cmd=["serve"],
    working_dir="/srv",
    labels={"from": "image", "both": "image"},
    exposed_ports={"80/tcp": {}},
    volumes={"/data": {}},
    stop_signal="SIGQUIT",
)


def test_what_the_client_leaves_out_comes_from_the_image() -> None:
    """Every inherited member, in one go."""
    merged = create.merge(ContainerConfig(image="x"), IMAGE)
    assert (merged.entrypoint, merged.cmd) == (["/entry"], ["serve"])
    assert (merged.user, merged.working_dir, merged.stop_signal) == ("app", "/srv", "SIGQUIT")
    assert merged.volumes == {"/data": {}}
    assert merged.exposed_ports == {"80/tcp": {}}


def test_what_the_client_says_wins_member_by_member() -> None:
    """Variables and labels are merged by name, the rest replaced."""
    asked = ContainerConfig(
        env=["A=mine", "B=2"], labels={"both": "mine"}, user="0", exposed_ports={"81/tcp": {}}
    )
    merged = create.merge(asked, IMAGE)
    assert merged.env == ["PATH=/bin", "A=mine", "B=2"]
    assert merged.labels == {"from": "image", "both": "mine"}
    assert merged.user == "0"
    assert sorted(merged.exposed_ports or {}) == ["80/tcp", "81/tcp"]


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "expected"),
    [
        (None, ["x"], (["/entry"], ["x"])),
        (["/mine"], None, (["/mine"], None)),
        (["/mine"], ["x"], (["/mine"], ["x"])),
        ([""], ["x"], (None, ["x"])),
    ],
)
def test_an_entry_point_of_ones_own_drops_the_images_command(
    entrypoint: list[str] | None, cmd: list[str] | None, expected: Any
) -> None:
    """Docker's four cases; ``[""]`` is how its client says --entrypoint ''."""
    merged = create.merge(ContainerConfig(entrypoint=entrypoint, cmd=cmd), IMAGE)
    assert (merged.entrypoint, merged.cmd) == expected


def test_a_container_without_a_program_is_refused() -> None:
    """In Docker's words."""
    with pytest.raises(InvalidRequest, match="no command specified"):
        create.merge(ContainerConfig(), ImageConfig())


def test_a_variable_without_a_value_removes_it() -> None:
    """``-e NAME`` with NAME unset in the client's environment: the name is kept, and the program does not get it."""
    assert create.merge_env(["A=1", "B=2"], ["A"]) == ["A", "B=2"]


def test_a_machine_has_room_for_its_kernel_beside_the_containers_limit() -> None:
    """Docker's minimum, and no machine that does not boot."""
    assert resources.memory_mib(0, 128) == 128
    assert resources.memory_mib((100 << 20) + 1, 128) == 101 + 32 + 2
    assert resources.memory_mib(2 << 30, 128) == 2048 + 32 + 51
    assert resources.memory_mib(6 << 20, 128) == 48
    with pytest.raises(InvalidRequest, match="Minimum memory limit allowed is 6MB"):
        resources.memory_mib((6 << 20) - 1, 128)


@pytest.mark.parametrize(("nano", "vcpus"), [(0, 1), (500_000_000, 1), (1_500_000_000, 2)])
def test_cpus_are_rounded_up_to_virtual_ones(nano: int, vcpus: int) -> None:
    """Half a CPU needs one; the host holds it to the half."""
    assert resources.vcpus(limits(HostConfig(nano_cpus=nano)), available=4) == vcpus


def test_more_cpus_than_the_host_has_are_refused() -> None:
    """In Docker's words."""
    with pytest.raises(InvalidRequest, match=r"Range of CPUs is from 0\.01 to 2\.00"):
        resources.vcpus(limits(HostConfig(nano_cpus=3_000_000_000)), available=2)


def test_quota_and_period_say_the_same_as_nano_cpus() -> None:
    """Both together are refused."""
    assert limits(HostConfig(cpu_quota=50_000, cpu_period=100_000)).cpus == 0.5
    with pytest.raises(InvalidRequest, match="Conflicting options"):
        limits(HostConfig(cpu_quota=1, nano_cpus=1))


def test_what_cannot_be_left_out_is_refused() -> None:
    """A container that silently lacks its mount would be worse than none."""
    with pytest.raises(NotImplementedYet, match="not supported yet"):
        create.checked(HostConfig(pid_mode="container:x"))


def test_the_hosts_devices_are_refused_with_the_reason() -> None:
    """A machine has none of them, ever."""
    with pytest.raises(InvalidRequest, match="no devices of the host"):
        create.checked(HostConfig(device_requests=[{"Driver": "nvidia"}]))


def test_log_drivers_there_are_not() -> None:
    """In Docker's words."""
    with pytest.raises(InvalidRequest, match="logger: no log driver named 'syslog' is registered"):
        create.checked(HostConfig(log_config=LogConfig("syslog")))


def test_the_hosts_network_is_refused_with_a_way_out() -> None:
    """A machine has a network stack of its own."""
    with pytest.raises(InvalidRequest, match="publish ports with -p"):
        create.checked(HostConfig(network_mode="host"))


def test_what_has_no_effect_is_warned_about() -> None:
    """And the empty values every client sends are not."""
    raw = {
        "CpusetMems": "0",
        "PidsLimit": 0,
        "BlkioWeight": 0,
        "OomKillDisable": False,
        "Binds": None,
    }
    asked = convert(raw, HostConfig)
    without = ["HostConfig.CpusetMems has no effect and was ignored."]
    assert create.checked(asked) == (asked, without)
    assert create.ignored(asked) == without


def test_images_for_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning where nobody asked for a platform, 404 where somebody did; one that says nothing is for this one."""
    monkeypatch.setattr(platform, "host", lambda: Platform("amd64", "linux", ""))

    def image(architecture: str, variant: str = "") -> Any:
        return MagicMock(architecture=architecture, os="linux", config=MagicMock(variant=variant))

    for own in ("amd64", "386", ""):
        assert create.check_platform(image(own), "x", None) == []
    [warning] = create.check_platform(image("arm64", "v8"), "x", None)
    assert warning == (
        "The requested image's platform (linux/arm64/v8) does not match the detected host platform (linux/amd64) "
        "and no specific platform was requested"
    )
    assert create.check_platform(image("arm64"), "x", platform.parse("linux/arm64")) == []
    with pytest.raises(NotFound, match=r"its platform \(linux/386\) does not match"):
        create.check_platform(image("386"), "x", platform.parse("amd64"))
