"""The container spec has no face's words: a second builder fills it, and the agent is asked from it alone."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import msgspec
from msgspec.structs import replace

from hyper.engine.record import container_spec, mount
from hyper.engine.record.container import ContainerRecord
from hyper.engine.record.container_spec import ContainerSpec, MachineSize, ResourceLimits
from hyper.engine.record.mount import BIND, MountPoint
from hyper.engine.record.sandbox import Placement
from hyper.engine.spec import agent_requests, capabilities, resources
from hyper.proto.message import ContainerFlag, ContainerUpdate, Device, DeviceType, Rlimit
from hyper.types.container import ContainerConfig, HostConfig
from tests.support.oci_bundle import spec_of_bundle
from tests.support.source import parsed

BUNDLE = json.dumps(
    {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": True,
            "consoleSize": {"height": 24, "width": 80},
            "user": {"uid": 1, "gid": 2, "additionalGids": [5, 6]},
            "args": ["sh", "-c", "true"],
            "env": ["PATH=/bin", "A=1"],
            "cwd": "/work",
            "capabilities": {"effective": ["CAP_KILL", "CAP_NET_BIND_SERVICE"]},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "box",
        "domainname": "example.com",
        "mounts": [
            {"destination": "/data", "type": "bind", "source": "/srv", "options": ["rbind", "ro"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]},
        ],
        "linux": {
            "resources": {
                "memory": {"limit": 268435456},
                "cpu": {"shares": 512, "quota": 150000, "period": 100000},
                "pids": {"limit": 100},
            },
            "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}],
            "sysctl": {"net.core.somaxconn": "256"},
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
        },
        "annotations": {"org.example.key": "value"},
    }
)


def record() -> ContainerRecord:
    """A container of that bundle. What Docker's clients are shown says nothing."""
    return ContainerRecord(
        id="b" * 64,
        name="box",
        created_ns=1,
        config=ContainerConfig(),
        host_config=HostConfig(),
        spec=spec_of_bundle(BUNDLE),
    )


def test_oci_bundle_is_a_spec() -> None:
    """Every part of the bundle has a place, and survives being kept."""
    spec = spec_of_bundle(BUNDLE)
    assert spec.size == MachineSize(2, 296)
    assert spec.limits == ResourceLimits(268435456, 1.5, 512, (), 100)
    assert spec.mounts == (MountPoint(BIND, "/data", source="/srv", read_only=True),)
    assert spec.labels == (("org.example.key", "value"),)
    assert msgspec.json.decode(msgspec.json.encode(spec), type=ContainerSpec) == spec
    assert hash(spec) == hash(spec_of_bundle(BUNDLE))


def test_agent_is_asked_for_a_bundle_without_a_word_of_dockers() -> None:
    """Program, root, machine and limits come from the spec alone."""
    made = record()
    program = agent_requests.main_program(made, Placement())
    assert program.args == ("sh", "-c", "true")
    assert program.env == ("PATH=/bin", "A=1")
    assert (program.cwd, program.user, program.groups) == ("/work", "1:2", ("5", "6"))
    assert (program.rows, program.columns) == (24, 80)
    assert program.capabilities == capabilities.mask({"KILL", "NET_BIND_SERVICE"})
    assert program.rlimits == (Rlimit(7, 1024, 4096),)
    created = agent_requests.container_create(made, Placement(), [Path("layer")], ())
    assert created.flags == ContainerFlag.READ_ONLY
    assert (created.masked, created.readonly) == (("/proc/kcore",), ("/proc/sys",))
    assert created.devices == (Device("/dev/fuse", DeviceType.CHARACTER, 10, 229),)
    assert [item.target for item in created.mounts] == ["/tmp"]
    setup = agent_requests.sandbox_setup(made, None)
    assert setup.hostname == "box"
    assert dict(setup.sysctls)["net.core.somaxconn"] == "256"
    assert resources.guest_limits(Placement(), made.spec.limits) == (
        ContainerUpdate(1, memory=268435456, pids=100),
    )


def test_next_machine_of_a_bundle_has_the_size_its_limits_say() -> None:
    """The rule is the same whoever built the spec."""
    spec = replace(spec_of_bundle(BUNDLE), size=MachineSize(1, 128))
    assert resources.next_size(spec, available=range(4)) == MachineSize(
        2, resources.memory_mib(256 << 20, 128)
    )


def test_spec_imports_no_face() -> None:
    """Not the bodies of the Engine API, nor what reads them."""
    for module in (container_spec, mount):
        assert module.__file__ is not None
        tree = parsed(Path(module.__file__).read_text())
        names = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not {name for name in names if name.startswith(("hyper.types", "hyper.engine.spec"))}
