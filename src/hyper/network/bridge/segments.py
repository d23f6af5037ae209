"""Segments from specs: what a network's options, in Docker's words, ask of its bridge. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv6Interface
from typing import Final

from hyper.errors import InvalidRequest
from hyper.network import ipam
from hyper.network.bridge.rules import Segment
from hyper.network.spec import NetworkSpec
from hyper.system import link

_PREFIX: Final = "com.docker.network."
_NAME: Final = f"{_PREFIX}bridge.name"
_ICC: Final = f"{_PREFIX}bridge.enable_icc"
_MASQUERADE: Final = f"{_PREFIX}bridge.enable_ip_masquerade"
_MTU: Final = f"{_PREFIX}driver.mtu"
#: Whether networks are translated on their way out, or part of what is around the host.
_GATEWAY_MODES: Final = tuple(f"{_PREFIX}bridge.gateway_mode_ipv{n}" for n in (4, 6))
_GATEWAY_MODE: Final = "nat"
HOST_BINDING: Final = f"{_PREFIX}bridge.host_binding_ipv4"
_DEFAULT: Final = f"{_PREFIX}bridge.default_bridge"
#: Whether the network's machines may connect to services of the host.
HOST_SERVICES: Final = "hyper.host_services"
_KNOWN: Final = (
    *(_NAME, _ICC, _MASQUERADE, _MTU, HOST_BINDING, _DEFAULT, HOST_SERVICES),
    *_GATEWAY_MODES,
)
_TRUTH: Final = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}
_MTUS: Final = range(68, 65536)


def segment_of(spec: NetworkSpec, bridge: str) -> Segment:
    """The segment of a network: how the host sees it; without a subnet yet it has a placeholder.

    Raises:
        InvalidRequest: an option's value makes no sense.
    """
    options = spec.options
    name = options.get(_NAME, "")
    if name and (
        not re.fullmatch(rf"[a-zA-Z][a-zA-Z0-9_.-]{{0,{link.MAX_NAME - 1}}}", name)
        or name.startswith(("hb-", "ht-", "hv-"))
    ):
        raise InvalidRequest(f"invalid {_NAME}: {name[:100]!r}")
    mtu = options.get(_MTU, "") or "1500"
    if not re.fullmatch(r"[0-9]{1,5}", mtu) or int(mtu) not in _MTUS:
        raise InvalidRequest(f"invalid {_MTU}: {mtu[:100]!r}")
    for mode in _GATEWAY_MODES:
        if options.get(mode, "") not in ("", _GATEWAY_MODE):
            raise InvalidRequest(
                f"{mode}={options[mode][:100]} is not supported: "
                f"every network that is not internal is {_GATEWAY_MODE}"
            )
    space = spec.space() if spec.subnet else ipam.space(subnet="0.0.0.0/8")
    return Segment(
        bridge=name or bridge,
        subnet=space.subnet,
        gateway=space.gateway,
        internal=spec.internal,
        masquerade=_flag(options, _MASQUERADE),
        isolate=not _flag(options, _ICC),
        mtu=int(mtu),
        host_services=_flag(options, HOST_SERVICES, default="false"),
        gateway6=_gateway6(spec),
    )


def _gateway6(spec: NetworkSpec) -> IPv6Interface | None:
    space = spec.space6()
    if space is None or spec.internal:
        return None
    return IPv6Interface((space.gateway, space.subnet.prefixlen))


def _flag(options: Mapping[str, str], key: str, *, default: str = "true") -> bool:
    text = options.get(key, default)
    if text.lower() not in _TRUTH:
        raise InvalidRequest(f"invalid {key}: {text[:100]!r}")
    return _TRUTH[text.lower()]


def unknown_options(options: Mapping[str, str]) -> list[str]:
    """The options that have no effect, in order."""
    return sorted(key for key in options if key not in _KNOWN)
