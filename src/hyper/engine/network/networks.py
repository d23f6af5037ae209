"""Networks: their records, made, found, listed, removed. Leases on them are in leases.py."""

from __future__ import annotations

import re
import time
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from hyper.engine.events import EventBus
from hyper.engine.record.network import (
    BRIDGE,
    PREDEFINED,
    NetworkRecord,
    keep_addresses,
    space6_of,
    space_of,
    spec_of,
)
from hyper.engine.store import Store
from hyper.errors import Conflict, Forbidden, InvalidRequest, NotFound
from hyper.ids import new_id
from hyper.network.driver import NetworkDriver
from hyper.network.spec import NetworkSpec
from hyper.types.network import Ipam, IpamConfig, NetworkCreateBody

MAX_NETWORKS: Final = 1000
MAX_NAME: Final = 255
_PREFIX: Final = "com.docker.network.bridge."
#: What the network that every daemon has is shown with, as dockerd's.
_DEFAULT_OPTIONS: Final = {
    f"{_PREFIX}default_bridge": "true",
    f"{_PREFIX}enable_icc": "true",
    f"{_PREFIX}enable_ip_masquerade": "true",
    f"{_PREFIX}host_binding_ipv4": "0.0.0.0",
}


class Networks:
    """The networks of this daemon. What a network takes on the host is its driver's matter."""

    def __init__(self, store: Store, events: EventBus, driver: NetworkDriver) -> None:
        self._store = store
        self._events = events
        self._driver = driver
        self._by_id = {record.id: record for record in store.networks()}
        for name, kind in PREDEFINED.items():
            if not any(record.name == name for record in self._by_id.values()):
                self._keep(_predefined(name, kind))

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

    def find(self, network_id: str) -> NetworkRecord | None:
        """The network that has an id; None: there is none."""
        return self._by_id.get(network_id)

    def specs(self) -> list[NetworkSpec]:
        """All networks, as a driver is told of them."""
        return [spec_of(record) for record in self._by_id.values()]

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
        self._driver.require_networks("cannot create a network")
        wanted = replace(spec_of(record), ipv6=body.enable_ipv6)
        made, warning = await self._driver.create(wanted)
        keep_addresses(record, made)
        try:
            self._keep(record)
        except BaseException:
            await self._driver.remove(record.id)
            raise
        self.publish("create", record)
        return record, warning

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

    def _keep(self, record: NetworkRecord) -> None:
        self._store.save_network(record.id, record)
        self._by_id[record.id] = record

    async def ensure(self, network_id: str) -> None:
        """The network is up, as far as its driver makes networks; its record has its addresses.

        Raises:
            NotFound: it is gone.
            As ``NetworkDriver.ensure``.
        """
        record = self.get(network_id)
        made = await self._driver.ensure(record.id)
        if made.subnet != record.subnet:
            keep_addresses(record, made)
            self._keep(record)

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
        await self._driver.remove(record.id)
        self.publish("destroy", record)


def _predefined(name: str, driver: str) -> NetworkRecord:
    options = dict(_DEFAULT_OPTIONS) if name == BRIDGE else {}
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
