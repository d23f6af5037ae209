"""Networks: made, found, listed, removed. Containers' leases on them are in wires.py."""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Interface, IPv6Network
from typing import Final

from hyper.config import Config
from hyper.engine.events import EventBus
from hyper.engine.record.network import BRIDGE, PREDEFINED, NetworkRecord, space6_of, space_of
from hyper.engine.store import Store
from hyper.errors import Conflict, Forbidden, InvalidRequest, NotFound
from hyper.ids import new_id
from hyper.network import ipam
from hyper.network.bridge.fabric import Fabric
from hyper.network.bridge.rules import Segment
from hyper.network.ipam6 import choose6
from hyper.system import link
from hyper.types.network import Ipam, IpamConfig, NetworkCreateBody

INSIDE6: Final = "by IPv6 containers reach their own network alone, not the outside"
MAX_NETWORKS: Final = 1000
MAX_NAME: Final = 255
#: Two daemons that choose at the same moment may choose the same; one of them chooses again.
_ATTEMPTS: Final = 10
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
#: Whether the network's containers may connect to services of the host.
HOST_SERVICES: Final = "hyper.host_services"
_KNOWN: Final = (
    *(_NAME, _ICC, _MASQUERADE, _MTU, HOST_BINDING, _DEFAULT, HOST_SERVICES),
    *_GATEWAY_MODES,
)
_TRUTH: Final = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}
_MTUS: Final = range(68, 65536)


class Networks:
    """The networks of this daemon. ``fabric`` None: no bridged networks here, ``why`` says why not."""

    def __init__(
        self, config: Config, store: Store, events: EventBus, fabric: Fabric | None, why: str
    ) -> None:
        self.fabric = fabric
        self.why = why
        self._store = store
        self._events = events
        self._host_services = config.host_services
        self._pools = [
            ipam.pool(text) for text in config.default_address_pools
        ] or ipam.DEFAULT_POOLS
        self._by_id = {record.id: record for record in store.networks()}
        for name, driver in PREDEFINED.items():
            if not any(record.name == name for record in self._by_id.values()):
                self._keep(_predefined(name, driver))

    # Finding

    def get(self, name: str) -> NetworkRecord:
        """The network called ``name``: full id, name, or unique start of an id.

        Raises:
            NotFound: no such network.
            InvalidRequest: several ids begin so.
        """
        exact = self._by_id.get(name)
        if exact is not None:
            return exact
        for record in self._by_id.values():
            if record.name == name:
                return record
        found = [record for key, record in self._by_id.items() if name and key.startswith(name)]
        if len(found) > 1:
            raise InvalidRequest(f"network {name} is ambiguous ({len(found)} matches found on ID)")
        if not found:
            raise NotFound(f"network {name} not found")
        return found[0]

    def all(self) -> list[NetworkRecord]:
        """All networks, the newest first."""
        return sorted(self._by_id.values(), key=lambda record: -record.created_ns)

    def publish(self, action: str, record: NetworkRecord, **attributes: str) -> None:
        """An event says that ``action`` happened to the network."""
        about = {"name": record.name, "type": record.driver, **attributes}
        self._events.publish("network", action, record.id, about)

    # Making

    async def create(self, body: NetworkCreateBody) -> tuple[NetworkRecord, str]:
        """A new network, whose bridge is up, and a warning ("": none).

        Raises:
            InvalidRequest: the request makes no sense.
            Forbidden: the network cannot be had here, or overlaps another.
            Conflict: the name is taken.
            NotFound: an unknown driver.
        """
        self._check(body)
        record = _asked(body)
        fabric = self._fabric("cannot create a network")
        segment_options(record, "hb-0")  # before anything is chosen: they may make no sense
        if record.subnet:
            self._check_overlap(IPv4Network(record.subnet))
            space_of(record)
        if body.enable_ipv6 and not record.subnet6:
            chosen = choose6(self._store.daemon_id, self._subnets6())
            record.subnet6, record.gateway6 = str(chosen), str(chosen[1])
        self._check_overlap6(record)
        await self._raise(record, fabric)
        try:
            self._keep(record)
        except BaseException:
            await fabric.lower_segment(self.segment(record).bridge)
            raise
        self.publish("create", record)
        return record, self._shortcoming(record, fabric)

    def _shortcoming(self, record: NetworkRecord, fabric: Fabric) -> str:
        """The warning that tells what of the network is not as asked for; "": none."""
        unknown = sorted(key for key in record.options if not _is_known(key))
        found = [f"these options have no effect: {', '.join(unknown)}"] if unknown else []
        if record.subnet6 and not record.internal and fabric.obstacle6:
            found.append(f"{INSIDE6}: {fabric.obstacle6}")
        return "; ".join(found)

    def _fabric(self, what: str) -> Fabric:
        if self.fabric is None:
            raise Forbidden(
                f"{what}: {self.why}",
                hint="bridged networks need a hyperd that runs as root, and /dev/net/tun",
            )
        return self.fabric

    def _check(self, body: NetworkCreateBody) -> None:
        name = body.name
        if not name.strip() or len(name) > MAX_NAME or re.search(r"[/\x00-\x1f\x7f]", name):
            raise InvalidRequest(f"invalid network name: {name[:100]!r}")
        if name in PREDEFINED or name == "default" or name.startswith("container:"):
            raise Forbidden(f"operation is not permitted on predefined {name} network")
        if any(record.name == name for record in self._by_id.values()):
            raise Conflict(f"network with name {name} already exists")
        if body.driver in ("host", "null"):
            raise Forbidden(f'only one instance of "{body.driver}" network is allowed')
        if body.driver not in ("", "bridge", "default"):
            raise NotFound(f'plugin "{body.driver[:100]}" not found')
        if not body.enable_ipv4:
            raise InvalidRequest("IPv4 can only be disabled if experimental features are enabled")
        if body.scope not in ("", "local") or body.ingress:
            raise InvalidRequest("networks of a swarm are not supported: scope must be local")
        if body.config_only or (body.config_from or {}).get("Network"):
            raise InvalidRequest("configuration-only networks are not supported")
        if body.ipam is not None and body.ipam.driver not in ("", "default"):
            raise InvalidRequest(f"ipam driver {body.ipam.driver[:100]!r} is not supported")
        if len(self._by_id) >= MAX_NETWORKS:
            raise Conflict(f"there are {MAX_NETWORKS} networks already")

    def _check_overlap(self, subnet: IPv4Network) -> None:
        if any(subnet.overlaps(other) for other in self._subnets()):
            raise Forbidden(
                "invalid pool request: Pool overlaps with other one on this address space"
            )

    def _check_overlap6(self, record: NetworkRecord) -> None:
        wanted = space6_of(record)
        if wanted and any(other.overlaps(wanted.subnet) for other in self._subnets6()):
            raise Forbidden(
                "invalid pool request: Pool overlaps with other one on this address space"
            )

    def _subnets(self) -> list[IPv4Network]:
        return [IPv4Network(item.subnet) for item in self._by_id.values() if item.subnet]

    def _subnets6(self) -> list[IPv6Network]:
        return [space.subnet for item in self._by_id.values() if (space := space6_of(item))]

    def _keep(self, record: NetworkRecord) -> None:
        self._store.save_network(record.id, record)
        self._by_id[record.id] = record

    async def ensure(self, record: NetworkRecord) -> Segment:
        """The network's bridge is up.

        Raises:
            Conflict: its subnet is used for something else on this host now.
            Forbidden: no subnet is free.
        """
        fabric = self._fabric(f"cannot use network {record.name}")
        before = record.subnet
        await self._raise(record, fabric)
        if record.subnet != before:
            self._keep(record)
        return self.segment(record)

    async def _raise(self, record: NetworkRecord, fabric: Fabric) -> None:
        """The network's bridge is up; a subnet that Hyper chose is chosen anew while the host has other use for it."""
        for attempt in range(1, _ATTEMPTS + 1):
            if not record.subnet:
                chosen = await fabric.elect(self._pools, self._subnets())
                record.subnet, record.gateway, record.chosen = str(chosen), str(chosen[1]), True
            try:
                await fabric.raise_segment(self.segment(record))
            except Conflict:
                if not record.chosen or attempt == _ATTEMPTS:
                    raise
                record.subnet = ""
            else:
                return

    def segment(self, record: NetworkRecord) -> Segment:
        """The network's segment, as it is on this host."""
        assert self.fabric is not None
        asked = segment_options(record, self.fabric.name("hb", record.id))
        opened = self._host_services == "all" or self.may_host(asked=asked.host_services)
        gateway6 = None if self.fabric.obstacle6 else asked.gateway6
        return replace(asked, host_services=opened, gateway6=gateway6)

    def may_host(self, *, asked: bool) -> bool:
        """Whether a container that asks for it (``asked``) may connect to services of the host."""
        return asked and self._host_services != "none"

    # Removal

    async def remove(self, record: NetworkRecord, *, users: Collection[str]) -> None:
        """The network is gone. ``users``: endpoints of running containers.

        Raises:
            Forbidden: the network is one of those that every daemon has, or in use.
        """
        if record.name in PREDEFINED:
            raise Forbidden(f"{record.name} is a pre-defined network and cannot be removed")
        if users:
            raise Forbidden(
                f"error while removing network: network {record.name} has active endpoints "
                f"(name:{', name:'.join(sorted(users)[:5])})"
            )
        self._store.delete_network(record.id)
        self._by_id.pop(record.id, None)
        if self.fabric is not None:
            await self.fabric.lower_segment(self.segment(record).bridge)
        self.publish("destroy", record)


def _predefined(name: str, driver: str) -> NetworkRecord:
    options = {}
    if name == BRIDGE:
        options = {_DEFAULT: "true", _ICC: "true", _MASQUERADE: "true", HOST_BINDING: "0.0.0.0"}
    return NetworkRecord(
        id=new_id(), name=name, driver=driver, created_ns=time.time_ns(), options=options
    )


def _asked(body: NetworkCreateBody) -> NetworkRecord:
    asked = body.ipam or Ipam()
    given = [item for item in asked.config or [] if item != IpamConfig()]
    configs = [item for item in given if ":" not in item.subnet]
    if len(configs) > 1:
        raise InvalidRequest("bridge driver doesn't support multiple subnets")
    config = configs[0] if configs else IpamConfig()
    if not config.subnet and config != IpamConfig():
        raise InvalidRequest("invalid network config: a gateway or range needs a subnet")
    record = NetworkRecord(
        id=new_id(),
        name=body.name,
        driver="bridge",
        created_ns=time.time_ns(),
        internal=body.internal,
        attachable=body.attachable,
        labels=dict(body.labels or {}),
        options=dict(body.options or {}),
        ipam_options=asked.options,
        subnet=config.subnet,
        gateway=config.gateway,
        ip_range=config.ip_range,
        auxiliary=dict(config.auxiliary_addresses or {}),
    )
    if record.subnet:
        space = space_of(record)
        record.subnet, record.gateway = str(space.subnet), str(space.gateway)
    _ask_ipv6(record, [item for item in given if ":" in item.subnet], enabled=body.enable_ipv6)
    return record


def _ask_ipv6(record: NetworkRecord, configs: list[IpamConfig], *, enabled: bool) -> None:
    if not enabled and not configs:
        return  # an IPv6 subnet says that IPv6 is wanted, as well
    if not configs:
        return  # one is chosen
    if len(configs) > 1:
        raise InvalidRequest("bridge driver doesn't support multiple subnets")
    if configs[0].auxiliary_addresses:
        raise InvalidRequest("auxiliary IPv6 addresses are not supported")
    record.subnet6, record.gateway6 = configs[0].subnet, configs[0].gateway
    record.ip_range6 = configs[0].ip_range
    space = space6_of(record)
    assert space is not None
    record.subnet6, record.gateway6 = str(space.subnet), str(space.gateway)


def segment_options(record: NetworkRecord, bridge: str) -> Segment:
    """The segment of a network: how the host sees it; without a subnet yet it has a placeholder.

    Raises:
        InvalidRequest: an option's value makes no sense.
    """
    options = record.options
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
    space = space_of(record) if record.subnet else ipam.space(subnet="0.0.0.0/8")
    return Segment(
        bridge=name or bridge,
        subnet=space.subnet,
        gateway=space.gateway,
        internal=record.internal,
        masquerade=_flag(options, _MASQUERADE),
        isolate=not _flag(options, _ICC),
        mtu=int(mtu),
        host_services=_flag(options, HOST_SERVICES, default="false"),
        gateway6=_gateway6(record),
    )


def _gateway6(record: NetworkRecord) -> IPv6Interface | None:
    space = space6_of(record)
    if space is None or record.internal:
        return None
    return IPv6Interface((space.gateway, space.subnet.prefixlen))


def _flag(options: dict[str, str], key: str, *, default: str = "true") -> bool:
    text = options.get(key, default)
    if text.lower() not in _TRUTH:
        raise InvalidRequest(f"invalid {key}: {text[:100]!r}")
    return _TRUTH[text.lower()]


def _is_known(key: str) -> bool:
    return key in _KNOWN
