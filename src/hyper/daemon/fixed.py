"""Options of dockerd that have one value here: that value is accepted, any other refused with the reason."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from hyper.errors import InvalidRequest

_BOOLEAN: Final = {"true": "true", "1": "true", "false": "false", "0": "false"}
_NO_RULES: Final = (
    "without its packet filter rules containers would have no walls and no published ports"
)
_NO_IPV6: Final = "the default network has IPv4 alone: docker network create --ipv6"
_BRIDGE: Final = "the default network is Hyper's own: make networks with docker network create"
_PER_NETWORK: Final = "networks have it each: docker network create -o"
_RUNTIME: Final = "runtimes are hypervisors, which Hyper comes with: --hypervisor says which one"
_GROUPS: Final = "machines have control groups of Hyper's own, below hyper/"
_NO_CONTAINERD: Final = "there is no containerd below this daemon"
_NO_SWARM: Final = "there is no swarm"
_NO_PLUGINS: Final = "there are no plugins"
_HOST_PATHS: Final = "programs inside a machine are Hyper's own"
_TRANSFERS: Final = "Hyper chooses by itself how it speaks to registries"


@dataclass(frozen=True, slots=True)
class Fixed:
    """An option with the ``accepted`` values and ``why`` there are no others. ``key``: its name in the file."""

    word: str
    why: str
    accepted: tuple[str, ...] = ()
    key: str = ""
    short: str = ""
    #: Any number is true here.
    is_number: bool = False

    @property
    def name(self) -> str:
        """The option's name in a configuration file."""
        return self.key or self.word

    @property
    def is_flag(self) -> bool:
        """Whether the option needs no value."""
        return bool({"true", "false"} & {*self.accepted})


def _flag(word: str, value: str, why: str) -> Fixed:
    return Fixed(word, why, (value,))


FIXED: Final = (
    _flag("live-restore", "true", "machines outlive the daemon: stop the containers first"),
    _flag("iptables", "true", _NO_RULES),
    _flag("ip6tables", "true", _NO_RULES),
    _flag("ipv6", "false", _NO_IPV6),
    _flag("ip-forward", "true", "containers on bridges reach nothing without forwarding"),
    _flag("ip-masq", "true", f"{_PER_NETWORK} com.docker.network.bridge.enable_ip_masquerade=false"),
    _flag("icc", "true", f"{_PER_NETWORK} com.docker.network.bridge.enable_icc=false"),
    Fixed("shutdown-timeout", "it is a number of seconds; machines go on without the daemon", is_number=True),
    Fixed("userland-proxy", "it has no effect", ("true", "false")),
    _flag("experimental", "false", "nothing here is experimental in dockerd's sense"),
    _flag("selinux-enabled", "false", "containers are machines, whose walls are not SELinux's"),
    _flag("raw-logs", "true", "the daemon's log has times in full and no colours"),
    _flag("rootless", "false", "start hyperd as an ordinary user: it needs no other word"),
    _flag("cri-containerd", "false", _NO_CONTAINERD),
    Fixed("bridge", _BRIDGE, short="b"),
    Fixed("bip", _BRIDGE),
    Fixed("fixed-cidr", _BRIDGE),
    Fixed("fixed-cidr-v6", _NO_IPV6),
    Fixed("default-gateway", _BRIDGE),
    Fixed("default-gateway-v6", _NO_IPV6),
    Fixed("ip", f"{_PER_NETWORK} com.docker.network.bridge.host_binding_ipv4=ADDRESS"),
    Fixed("mtu", f"{_PER_NETWORK} com.docker.network.driver.mtu=BYTES"),
    Fixed("network-control-plane-mtu", _NO_SWARM),
    Fixed("host-gateway-ip", "host-gateway is the gateway of the container's own network"),
    Fixed("add-runtime", _RUNTIME, key="runtimes"),
    Fixed("default-runtime", _RUNTIME, ("hyper",)),
    Fixed("exec-opt", _GROUPS, ("native.cgroupdriver=cgroupfs",), key="exec-opts"),
    Fixed("cgroup-parent", _GROUPS),
    Fixed("default-cgroupns-mode", "a machine has control groups of its own", ("private",)),
    Fixed("default-ipc-mode", "a machine has an IPC namespace of its own", ("private", "shareable")),
    Fixed("cpu-rt-period", "machines have no real-time scheduling"),
    Fixed("cpu-rt-runtime", "machines have no real-time scheduling"),
    Fixed("storage-driver", "layers are squashfs images", ("squashfs",), short="s"),
    Fixed("storage-opt", "layers are squashfs images; say --storage-opt size= to docker run", key="storage-opts"),
    Fixed("userns-remap", "each machine runs as a user of its own already"),
    Fixed("seccomp-profile", "Hyper filters the hypervisor's system calls, not the container's", ("builtin",)),
    Fixed("oom-score-adjust", "say it to the service manager that starts hyperd"),
    Fixed("authorization-plugin", _NO_PLUGINS, key="authorization-plugins"),
    Fixed("api-cors-header", "no page of another origin may read answers; --allowed-origin lets one ask"),
    Fixed("metrics-addr", "there is no metrics service yet"),
    Fixed("containerd", _NO_CONTAINERD),
    Fixed("containerd-namespace", _NO_CONTAINERD),
    Fixed("containerd-plugins-namespace", _NO_CONTAINERD, key="containerd-plugin-namespace"),
    Fixed("node-generic-resource", _NO_SWARM, key="node-generic-resources"),
    Fixed("swarm-default-advertise-addr", _NO_SWARM),
    Fixed("init-path", _HOST_PATHS),
    Fixed("userland-proxy-path", _HOST_PATHS),
    Fixed("max-concurrent-downloads", _TRANSFERS),
    Fixed("max-concurrent-uploads", _TRANSFERS),
    Fixed("max-download-attempts", _TRANSFERS),
    Fixed("allow-nondistributable-artifacts", "foreign layers are not pushed"),
    Fixed("features", "there are no builds and no other image stores to switch on"),
)  # fmt: skip


def add_fixed(parser: argparse.ArgumentParser) -> None:
    """The fixed options are added to ``parser``, without a word in its help; ``check_options`` judges their values."""
    for item in FIXED:
        words = [f"--{item.word}"] if not item.short else [f"-{item.short}", f"--{item.word}"]
        more: dict[str, Any] = {"nargs": "?", "const": "true"} if item.is_flag else {}
        parser.add_argument(
            *words, action="append", dest=_dest(item), help=argparse.SUPPRESS, **more
        )


def _dest(item: Fixed) -> str:
    return f"fixed {item.word}"


def check_options(options: argparse.Namespace) -> None:
    """A check that every fixed option on the command line has its value here.

    Raises:
        InvalidRequest: one has another; the error says which, and why.
    """
    for item in FIXED:
        for value in getattr(options, _dest(item)) or ():
            _check(item, value, f"--{item.word}={value}")


def check_key(key: str, value: Any) -> bool:
    """Whether ``key`` of a configuration file is a fixed option; then ``value`` is its value here.

    Raises:
        InvalidRequest: ``value`` is another; the error says which, and why.
    """
    item = next((item for item in FIXED if item.name == key), None)
    if item is None:
        return False
    for text in _texts(value):
        _check(item, text, f"configuration key {key}: {text}")
    return True


def _check(item: Fixed, value: str, what: str) -> None:
    if item.is_number and value.isascii() and value.removeprefix("-").isdecimal():
        return
    if (_BOOLEAN.get(value, value) if item.is_flag else value) not in item.accepted:
        raise InvalidRequest(f"{what[:200]} cannot be had: {item.why}")


def _texts(value: Any) -> Iterator[str]:
    """The texts that a value of the file would be on the command line; none for an empty value."""
    if isinstance(value, bool):
        yield str(value).lower()
    elif isinstance(value, list):
        yield from map(str, value)
    elif isinstance(value, dict):
        yield from (f"{name}={item}" for name, item in value.items())
    elif value not in ("", None):
        yield str(value)
