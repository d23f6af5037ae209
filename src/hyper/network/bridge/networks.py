"""The bridged networks of this daemon: known by their specs, and up on the host when they are needed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from typing import Final

from hyper.errors import Conflict, Forbidden, NotFound
from hyper.network.bridge.fabric import Fabric
from hyper.network.bridge.rules import Segment
from hyper.network.bridge.segments import segment_of, unknown_options
from hyper.network.ipam import Pool
from hyper.network.ipam6 import choose6
from hyper.network.spec import NetworkSpec

INSIDE6: Final = "by IPv6 containers reach their own network alone, not the outside"
#: Two daemons that choose at the same moment may choose the same; one of them chooses again.
_ATTEMPTS: Final = 10
_OVERLAP: Final = "invalid pool request: Pool overlaps with other one on this address space"


class BridgedNetworks:
    """The networks by id. ``seed``: what this daemon's own IPv6 prefix is made from; ``pools``: where subnets are from.

    ``host_services``: who may connect to services of the host: ``all``, ``none``, or who has ``asked``.
    """

    def __init__(
        self, fabric: Fabric, *, seed: str, pools: Sequence[Pool], host_services: str
    ) -> None:
        self._fabric = fabric
        self._seed = seed
        self._pools = pools
        self._host_services = host_services
        self._known: dict[str, NetworkSpec] = {}
        #: Segments by network, and what they were made of: to parse addresses takes longer than all else that is asked.
        self._segments: dict[str, tuple[tuple[NetworkSpec, str], Segment]] = {}
        #: Held while a network comes up: of two who want one without a subnet, one chooses.
        self._turn = asyncio.Lock()

    def open(self, networks: Collection[NetworkSpec]) -> None:
        """These are the networks; none is made."""
        self._known = {spec.id: spec for spec in networks}

    def get(self, network_id: str) -> NetworkSpec:
        """The spec of a network. Raises: NotFound: it is not known."""
        spec = self._known.get(network_id)
        if spec is None:
            raise NotFound(f"network {network_id} not found")
        return spec

    def knows(self, network_id: str) -> bool:
        """Whether there is such a network."""
        return network_id in self._known

    async def create(self, spec: NetworkSpec) -> tuple[NetworkSpec, str]:
        """The new network, with its addresses, is up; and a warning. See ``NetworkDriver.create``."""
        segment_of(spec, "hb-0")  # before anything is chosen: options may make no sense
        if spec.subnet:
            self._check_overlap(IPv4Network(spec.subnet))
            spec.space()
        if spec.ipv6 and not spec.subnet6:
            chosen = choose6(self._seed, list(self._subnets6()))
            spec = replace(spec, subnet6=str(chosen), gateway6=str(chosen[1]))
        self._check_overlap6(spec)
        async with self._turn:
            try:
                made = await self._bring_up(spec)
            except BaseException:
                self._segments.pop(spec.id, None)
                raise
            self._known[made.id] = made
        return made, self._warning(made)

    def _warning(self, spec: NetworkSpec) -> str:
        """The warning that tells what of the network is not as asked for; "": none."""
        unknown = unknown_options(spec.options)
        found = [f"these options have no effect: {', '.join(unknown)}"] if unknown else []
        if spec.subnet6 and not spec.internal and self._fabric.obstacle6:
            found.append(f"{INSIDE6}: {self._fabric.obstacle6}")
        return "; ".join(found)

    def _check_overlap(self, subnet: IPv4Network) -> None:
        if any(subnet.overlaps(other) for other in self._subnets()):
            raise Forbidden(_OVERLAP)

    def _check_overlap6(self, spec: NetworkSpec) -> None:
        wanted = spec.space6()
        if wanted and any(other.overlaps(wanted.subnet) for other in self._subnets6()):
            raise Forbidden(_OVERLAP)

    def _subnets(self) -> list[IPv4Network]:
        return [IPv4Network(item.subnet) for item in self._known.values() if item.subnet]

    def _subnets6(self) -> Iterator[IPv6Network]:
        return (space.subnet for item in self._known.values() if (space := item.space6()))

    async def ensure(self, network_id: str) -> NetworkSpec:
        """The network is up. See ``NetworkDriver.ensure``."""
        spec = self.get(network_id)
        if spec.subnet and self._fabric.has(self.segment(spec).bridge):
            return spec
        async with self._turn:
            made = self._known[network_id] = await self._bring_up(self.get(network_id))
        return made

    async def _bring_up(self, spec: NetworkSpec) -> NetworkSpec:
        """The network's bridge is up; a subnet that was chosen is chosen anew while the host has other use for it."""
        for attempt in range(1, _ATTEMPTS + 1):
            if not spec.subnet:
                chosen = await self._fabric.elect(self._pools, self._subnets())
                spec = replace(spec, subnet=str(chosen), gateway=str(chosen[1]), chosen=True)
            try:
                await self._fabric.raise_segment(self.segment(spec))
            except Conflict:
                if not spec.chosen or attempt == _ATTEMPTS:
                    raise
                spec = replace(spec, subnet="")
            else:
                break
        return spec

    async def remove(self, network_id: str) -> None:
        """The network is not known any more, and its bridge is gone. See ``NetworkDriver.remove``."""
        async with self._turn:
            spec = self._known.pop(network_id, None)
            self._segments.pop(network_id, None)
            if spec is not None:
                await self._fabric.lower_segment(self.segment(spec).bridge)

    def segment(self, spec: NetworkSpec) -> Segment:
        """The network's segment, as it is on this host."""
        made_of = (spec, self._fabric.obstacle6)
        known, segment = self._segments.get(spec.id, (None, None))
        if segment is None or known != made_of:
            segment = self._make_segment(spec)
            self._segments[spec.id] = (made_of, segment)
        return segment

    def _make_segment(self, spec: NetworkSpec) -> Segment:
        asked = segment_of(spec, self._fabric.name("hb", spec.id))
        opened = self._host_services == "all" or self.may_host(asked=asked.host_services)
        gateway6 = None if self._fabric.obstacle6 else asked.gateway6
        return replace(asked, host_services=opened, gateway6=gateway6)

    def may_host(self, *, asked: bool) -> bool:
        """Whether a machine whose holder asks for it (``asked``) may connect to services of the host."""
        return asked and self._host_services != "none"
