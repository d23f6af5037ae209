"""Requests in Docker's words: what is held to them, the spec they amount to, and that nobody writes into them."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec import json

from hyper.config import defaults
from hyper.engine.record.container_spec import (
    ContainerSpec,
    ImageUse,
    MachineSize,
    NetworkKind,
    Restart,
    RestartRule,
)
from hyper.engine.record.mount import BIND, MountPoint
from hyper.engine.spec import request
from hyper.engine.spec.request import Facts, Surroundings
from hyper.errors import HyperError, InvalidRequest, NotImplementedYet
from hyper.network.port import PortRequest
from hyper.proto.message import Rlimit
from hyper.types import oci
from hyper.types.container import (
    CreateBody,
    DeviceMapping,
    Healthcheck,
    HostConfig,
    LogConfig,
    PortBinding,
    RestartPolicy,
    Ulimit,
)
from hyper.units import MIB

FACTS = Facts(defaults(), frozenset(range(4)), 4096)
IMAGE: Any = SimpleNamespace(
    id="sha256:i", architecture="", os="linux", config=oci.ImageConfig(config=None)
)
#: No other container, and every path of the host.
AROUND = Surroundings({}.__getitem__, lambda _: True)


def built(body: CreateBody, facts: Facts = FACTS) -> tuple[ContainerSpec, HostConfig, list[str]]:
    """The spec of a request for an image that says nothing, the host configuration that is shown, and the warnings."""
    host, warnings = request.of_body(body, facts)
    host, more = request.with_image(host, IMAGE, body, None, facts)
    spec, _ = request.build(body, host, IMAGE, facts, AROUND)
    return spec, host, warnings + more


def asked(host: HostConfig | None = None, **members: Any) -> CreateBody:
    """A request for a program with this host configuration."""
    return CreateBody(**{"cmd": ["x"], "host_config": host or HostConfig(), **members})


TABLE: list[tuple[CreateBody, str, Any]] = [
    (asked(entrypoint=["a"], cmd=["b"]), "program.args", ("a", "b")),
    (asked(env=["A=1"], working_dir="/w/../x"), "program.cwd", "/x"),
    (asked(tty=True, open_stdin=True), "program.tty", True),
    (asked(open_stdin=True), "program.stdin", True),
    (asked(user="1:2"), "program.user", "1:2"),
    (asked(stop_signal="RTMIN+3"), "program.stop_signal", 37),
    (asked(stop_timeout=-1), "program.stop_timeout_s", -1),
    (asked(), "program.stop_signal", None),
    (asked(HostConfig(console_size=[20, 70])), "program.columns", 70),
    (asked(HostConfig(init=True)), "program.reaper", True),
    (asked(HostConfig(group_add=["5", "audio"])), "program.groups", ("5", "audio")),
    (asked(HostConfig(cap_drop=["ALL"], cap_add=["kill"])), "privileges.capabilities", ("KILL",)),
    (asked(HostConfig(privileged=True)), "privileges.masked", ()),
    (asked(HostConfig(masked_paths=["/x"])), "privileges.masked", ("/x",)),
    (asked(HostConfig(readonly_paths=[])), "privileges.readonly", ()),
    (asked(HostConfig(ulimits=[Ulimit("nofile", 1, -1)])), "privileges.rlimits",
     (Rlimit(7, 1, 2**64 - 1),)),
    (asked(HostConfig(security_opt=["no-new-privileges:true"])),
     "privileges.no_new_privileges", True),
    (asked(HostConfig(readonly_rootfs=True)), "root.read_only", True),
    (asked(HostConfig(storage_opt={"size": "33m"})), "root.size", 33 * MIB),
    (asked(HostConfig(tmpfs={"/t": "size=1m"})), "tmpfs", (("/t", "size=1m"),)),
    (asked(HostConfig(shm_size=MIB)), "shm_size", MIB),
    (asked(HostConfig(memory=64 * MIB, nano_cpus=1_500_000_000)), "size", MachineSize(2, 97)),
    (asked(HostConfig(cpuset_cpus="2,0-1")), "limits.cpu_set", (0, 1, 2)),
    (asked(HostConfig(pids_limit=-1)), "limits.pids", 0),
    (asked(hostname="h", domainname="d"), "domainname", "d"),
    (asked(HostConfig(uts_mode="host")), "hostname_of_host", True),
    (asked(HostConfig(sysctls={"a.b": "1"})), "sysctls", (("a.b", "1"),)),
    (asked(HostConfig(annotations={"hyper.kernel": "/k"})), "kernel", "/k"),
    (asked(), "network.kind", NetworkKind.OWN),
    (asked(network_disabled=True), "network.kind", NetworkKind.NONE),
    (asked(HostConfig(network_mode="container:x")), "network.joins", "x"),
    (asked(HostConfig(extra_hosts=["a:[::1]", "b=host-gateway"])), "network.hosts",
     (("a", "::1"), ("b", "host-gateway"))),
    (asked(HostConfig(dns=["192.0.2.1"])), "network.dns", ("192.0.2.1",)),
    (asked(HostConfig(port_bindings={"80": [PortBinding("", "8080")]})), "network.ports",
     (PortRequest("tcp", 80, "", 8080, 8080),)),
    (asked(), "restart", RestartRule()),
    (asked(HostConfig(restart_policy=RestartPolicy("on-failure", 3))), "restart",
     RestartRule(Restart.ON_FAILURE, 3)),
    (asked(HostConfig(auto_remove=True)), "remove_at_end", True),
    (asked(healthcheck=Healthcheck(test=["NONE"])), "health", None),
    (asked(healthcheck=Healthcheck(test=["CMD-SHELL", "x"])), "health.args", ("/bin/sh", "-c", "x")),
    (asked(HostConfig(log_config=LogConfig("json-file", {"max-size": "1k"}))), "log.max_bytes", 1000),
    (asked(HostConfig(log_config=LogConfig("none"))), "log.content", False),
    (asked(labels={"a": "b"}), "labels", (("a", "b"),)),
    (asked(image="x"), "image", ImageUse("sha256:i", "x")),
    (asked(HostConfig(binds=["/a:/b:ro"])), "mounts",
     (MountPoint(BIND, "/b", source="/a", read_only=True, mode="ro", propagation="rprivate", create=True),)),
]  # fmt: skip


@pytest.mark.parametrize(("body", "path", "value"), TABLE)
def test_spec_says_what_was_asked(body: CreateBody, path: str, value: Any) -> None:
    """Each request by the one member of the spec that it is about; none is written into on the way."""
    before = copy.deepcopy(body)
    found: Any = built(body)[0]
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value
    assert body == before


@pytest.mark.parametrize("body", [row[0] for row in TABLE])
def test_spec_is_frozen_hashable_and_the_same_after_json(body: CreateBody) -> None:
    """So it can be compared, shared between tasks, and kept; nothing of it can be written to."""
    spec = built(body)[0]
    assert json.decode(json.encode(spec), type=ContainerSpec) == spec
    assert len({spec, built(body)[0]}) == 1
    with pytest.raises(AttributeError):
        spec.hostname = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        (HostConfig(), ("bridge", "no", "json-file", {}, 64 * MIB, None)),
        (HostConfig(network_mode="none", pids_limit=0), ("none", "no", "json-file", {}, 64 * MIB, None)),
        (HostConfig(log_config=LogConfig("local"), shm_size=1, pids_limit=5),
         ("bridge", "no", "local", {}, 1, 5)),
    ],
)  # fmt: skip
def test_host_config_is_shown_whole(host: HostConfig, shown: tuple[Any, ...]) -> None:
    """What clients leave out has the value that amounts to, as with dockerd."""
    made = built(asked(host))[1]
    log = made.log_config
    found = (made.network_mode, made.restart_policy.name, log.type, log.config, made.shm_size)
    assert (*found, made.pids_limit) == shown
    assert made.runtime == "hyper"
    assert made.masked_paths


def test_defaults_of_the_daemon_are_the_request_s_where_it_says_nothing() -> None:
    """In the spec, and in what is shown."""
    config = replace(defaults(), init=True, dns=("192.0.2.1",), default_shm_size=MIB)
    facts = replace(FACTS, config=config)
    spec, host, warnings = built(asked(), facts)
    assert (spec.program.reaper, spec.network.dns, spec.shm_size) == (True, ("192.0.2.1",), MIB)
    assert (host.init, host.dns, host.shm_size, warnings) == (True, ["192.0.2.1"], MIB, [])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (asked(HostConfig(cpuset_mems="0")), "HostConfig.CpusetMems has no effect"),
        (asked(HostConfig(runtime="runc")), "HostConfig.Runtime runc has no effect"),
        (asked(runtime="runc"), "HostConfig.Runtime runc has no effect"),
        (asked(HostConfig(cgroupns_mode="host")), "HostConfig.CgroupnsMode host has no effect"),
        (asked(HostConfig(oom_kill_disable=True)), "OomKillDisable discarded"),
        (asked(HostConfig(memory=64 * MIB, memory_swap=65 * MIB)), "Memory limited without swap"),
        (asked(HostConfig(nano_cpus=1)), "Less than 0.01 CPUs are not possible"),
        (asked(HostConfig(network_mode="container:x", cpu_shares=5)), "CPU shares and sets"),
    ],
)
def test_what_has_no_effect_is_warned_of_and_discarded(body: CreateBody, words: str) -> None:
    """One sentence each; the request itself is as it was."""
    before = copy.deepcopy(body)
    _, host, warnings = built(body)
    assert [words in warning for warning in warnings] == [True]
    assert (host.cgroupns_mode, host.oom_kill_disable) == ("private", False)
    assert body == before


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (asked(cmd=None), InvalidRequest, "no command specified"),
        (asked(HostConfig(network_mode="host")), InvalidRequest, "network mode host is impossible"),
        (asked(HostConfig(pid_mode="container:x")), NotImplementedYet, "not supported yet"),
        (asked(HostConfig(device_requests=[{}])), InvalidRequest, "no devices of the host"),
        (asked(HostConfig(memory=MIB)), InvalidRequest, "Minimum memory limit allowed is 6MB"),
        (asked(HostConfig(memory=8192 * MIB)), InvalidRequest, "Maximum memory limit allowed is"),
        (asked(HostConfig(nano_cpus=5 * 10**9)), InvalidRequest, "Range of CPUs is from 0.01 to 4"),
        (asked(HostConfig(cap_add=["FLY"])), InvalidRequest, "unknown capability"),
        (asked(HostConfig(devices=[DeviceMapping(path_on_host="/dev/sda")])), InvalidRequest, "gathering device"),
        (asked(HostConfig(extra_hosts=["x"])), InvalidRequest, "bad format for add-host"),
        (asked(HostConfig(port_bindings={"x": None})), InvalidRequest, "invalid port specification"),
        (asked(stop_signal="NOPE"), InvalidRequest, "invalid signal: NOPE"),
        (asked(HostConfig(annotations={"hyper.kernel": "k"})), InvalidRequest, "no absolute path"),
        (asked(HostConfig(dns=["x"])), InvalidRequest, "invalid IP address for DNS"),
        (asked(HostConfig(restart_policy=RestartPolicy("x"))), InvalidRequest, "unknown policy"),
        (asked(HostConfig(network_mode="container:x"), hostname="h"), InvalidRequest,
         "conflicting options: hostname and the network mode"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(body: CreateBody, kind: type[HyperError], words: str) -> None:
    """Before anything exists, in Docker's words where clients look for them."""
    with pytest.raises(kind) as raised:
        built(body)
    assert words in raised.value.message
