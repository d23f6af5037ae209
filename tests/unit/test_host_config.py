"""docs/api-compat.md says of every member of HostConfig what happens to it: held to the contract and to the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from hyper.engine.spec import create, resources
from hyper.errors import HyperError
from hyper.types.container import HostConfig

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024

#: A value that asks for something, of each member.
SAMPLES: dict[str, Any] = {
    "Annotations": {"a": "b"},
    "AutoRemove": True,
    "Binds": ["/tmp:/x"],
    "BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1}],
    "BlkioDeviceReadIOps": [{"Path": "/dev/sda", "Rate": 1}],
    "BlkioDeviceWriteBps": [{"Path": "/dev/sda", "Rate": 1}],
    "BlkioDeviceWriteIOps": [{"Path": "/dev/sda", "Rate": 1}],
    "BlkioWeight": 300,
    "BlkioWeightDevice": [{"Path": "/dev/sda", "Weight": 1}],
    "CapAdd": ["NET_ADMIN"],
    "CapDrop": ["ALL"],
    "Cgroup": "x",
    "CgroupParent": "/x",
    "CgroupnsMode": "host",
    "ConsoleSize": [24, 80],
    "ContainerIDFile": "/tmp/id",
    "CpuCount": 1,
    "CpuPercent": 50,
    "CpuPeriod": 100_000,
    "CpuQuota": 50_000,
    "CpuRealtimePeriod": 1000,
    "CpuRealtimeRuntime": 500,
    "CpuShares": 512,
    "CpusetCpus": "0",
    "CpusetMems": "0",
    "DeviceCgroupRules": ["c 1:3 mr"],
    "DeviceRequests": [{"Driver": "nvidia"}],
    "Devices": [{"PathOnHost": "/dev/fuse"}],
    "Dns": ["192.0.2.1"],
    "DnsOptions": ["ndots:1"],
    "DnsSearch": ["example.org"],
    "ExtraHosts": ["a:192.0.2.1"],
    "GroupAdd": ["audio"],
    "IOMaximumBandwidth": 1,
    "IOMaximumIOps": 1,
    "Init": True,
    "IpcMode": "host",
    "Isolation": "hyperv",
    "KernelMemoryTCP": MIB,
    "Links": ["a:b"],
    "LogConfig": {"Type": "json-file", "Config": {}},
    "MaskedPaths": ["/proc/keys"],
    "Memory": 64 * MIB,
    "MemoryReservation": MIB,
    "MemorySwap": -1,
    "MemorySwappiness": 10,
    "Mounts": [{"Type": "tmpfs", "Target": "/x"}],
    "NanoCpus": 10**9,
    "NetworkMode": "none",
    "OomKillDisable": True,
    "OomScoreAdj": 100,
    "PidMode": "host",
    "PidsLimit": 10,
    "PortBindings": {"80/tcp": [{"HostPort": "8080"}]},
    "Privileged": True,
    "PublishAllPorts": True,
    "ReadonlyPaths": ["/proc/sys"],
    "ReadonlyRootfs": True,
    "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
    "Runtime": "runc",
    "SecurityOpt": ["no-new-privileges"],
    "ShmSize": 64 * MIB,
    "StorageOpt": {"size": "20G"},
    "Sysctls": {"net.core.somaxconn": "1024"},
    "Tmpfs": {"/run": ""},
    "UTSMode": "host",
    "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 2048}],
    "UsernsMode": "host",
    "VolumeDriver": "local",
    "VolumesFrom": ["x"],
}


def listed() -> dict[str, str]:
    """The table: member to what happens."""
    text = (ROOT / "docs/api-compat.md").read_text()
    section = text.partition("\n## HostConfig\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.MULTILINE)
    assert len(rows) == len(dict(rows))
    return dict(rows)


def members() -> set[str]:
    """Those of the contract."""
    path = ROOT / "tests/contract/engine-api/v1.47.yaml"
    definitions = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["definitions"]
    parts = definitions["HostConfig"]["allOf"]
    names = set(definitions["Resources"]["properties"])
    return names.union(*(part.get("properties", {}) for part in parts))


def outcome(member: str, value: Any) -> str:
    """What the code makes of a HostConfig with this one member."""
    raw = {member: value}
    try:
        host = msgspec.convert(raw, HostConfig)
        host, warnings = create.checked(host)
        host, more = resources.checked(host, available={0, 1})
    except HyperError:
        return "refused"
    return "warning" if warnings + more else "honoured"


def test_the_table_has_every_member_of_the_contract() -> None:
    """And no other."""
    assert set(listed()) == members() == set(SAMPLES)


@pytest.mark.parametrize("member", sorted(SAMPLES))
def test_the_table_says_what_happens(member: str) -> None:
    """Honoured, with a warning, or refused; what is honoured is kept and shown by inspect."""
    said = listed()[member]
    assert outcome(member, SAMPLES[member]) == said
    if said == "honoured":
        wire = {item.encode_name for item in msgspec.structs.fields(HostConfig)}
        assert member in wire | {"ContainerIDFile"}
