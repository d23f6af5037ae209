"""Bridged networks on the host: a bridge a network, a TAP a machine, rules for both.

Everything carries the daemon's number in its name: several daemons live side by side, and each finds its own again.
A TAP lives in the hypervisor that holds it and takes its chain of rules along; what a killed daemon leaves is bridges,
which its successor takes up. See docs/decisions/0009-networks.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Final

from hyper.errors import HyperError
from hyper.network import ipam
from hyper.network.bridge import bridges, firewall, flows, host_routes, rules, rules6
from hyper.network.bridge.machine_rules import MachinePorts, MachineRules, ports6
from hyper.network.bridge.rules import Port, Segment
from hyper.network.bridge.taps import Taps
from hyper.network.ipam import Pool
from hyper.system import conntrack, forwarding, link, nftables, tun
from hyper.system.nftables import NftFailed

logger = logging.getLogger(__name__)

#: The part of the kernel's table of flows that one machine may fill.
_SHARE: Final = 8
_KINDS: Final = ("hb", "ht", "hv")
#: How many hexadecimal digits of the daemon's number and of the object's make a name: 15 characters in all.
_DAEMON_DIGITS, _OBJECT_DIGITS = 3, 8


class Fabric:
    """The host's side of bridged networks: the bridges and rules of one daemon. ``open`` before use.

    ``number``: no other daemon of the host has it, 0 to 4095.
    """

    def __init__(self, daemon_id: str, number: int) -> None:
        self._daemon = f"{number:0{_DAEMON_DIGITS}x}"
        self._table = f"hyper_{daemon_id[:12]}"
        self._segments: dict[str, Segment] = {}
        self._machines: dict[str, MachinePorts] = {}
        self.taps = Taps()
        # First come, first served: what is taken away is gone before its successor comes.
        self._turn = asyncio.Lock()
        self._has_rules = False
        self._has_rules6 = False
        #: Why no network reaches the outside by IPv6, once that was tried; "": nothing is known against it.
        self.obstacle6 = ""
        #: Whether the kernel can count what a machine takes of it.
        self._counts = True

    def name(self, kind: str, object_id: str) -> str:
        """The name of a bridge (``hb``), TAP (``ht``) or pair's end (``hv``) for ``object_id``."""
        tail = "a" if kind == "hv" else ""
        return f"{kind}-{self._daemon}{object_id[:_OBJECT_DIGITS]}{tail}"

    @property
    def pattern(self) -> str:
        """The pattern of the names of all this daemon's bridges, as iptables writes it."""
        return f"hb-{self._daemon}+"

    async def open(self, segments: Collection[Segment], machines: Collection[MachinePorts]) -> None:
        """The bridges and rules that running machines need exist, and nothing else of an earlier daemon's.

        Fails, is cancelled: bridges that this call has made are gone again; those that were there stay as they are.

        Raises:
            NftFailed: the kernel refused.
            HyperError: a bridge cannot be made.
        """
        async with self._turn:
            self._segments = {segment.bridge: segment for segment in segments}
            self._machines = {machine.tap: machine for machine in machines}
            before = set(link.names("hb-"))
            try:
                await self._open(machines)
            except BaseException:
                for bridge in [name for name in self._segments if name not in before]:
                    del self._segments[bridge]
                    await bridges.end(bridge)
                raise

    async def _open(self, machines: Collection[MachinePorts]) -> None:
        await self._open6()
        for segment in self._segments.values():
            bridges.ensure(segment, (), ())
        wanted = set(self._segments)
        wanted |= {port.device for machine in machines for port in machine.ports if port.device}
        await self._sweep(wanted)
        await self._end_firewalls()
        mended = await self._mend_pairs(machines)
        has_any = bool(self._segments)
        await (self._apply_everything() if has_any else self._apply(self._nothing()))
        self._has_rules = has_any
        for machine in mended:
            self._join(machine, MachinePorts(machine.tap))

    async def _mend_pairs(self, machines: Collection[MachinePorts]) -> list[MachinePorts]:
        """The machines of which a pair was missing, and is not now: a daemon was killed as it disconnected them."""
        mended = []
        for machine in machines:
            pairs = [port for port in machine.ports if port.device and not link.exists(port.device)]
            if not pairs or not link.exists(machine.tap):
                continue
            for port in pairs:
                await link.make_pair(port.device, port.peer)
            mended.append(machine)
        return mended

    async def _sweep(self, wanted: Collection[str]) -> None:
        for kind in _KINDS:
            for name in link.names(f"{kind}-{self._daemon}"):
                if name in wanted or kind == "ht" or (kind == "hv" and name.endswith("b")):
                    continue
                logger.warning("removing %s, which nobody needs any more", name)
                await bridges.end(name)

    async def close(self) -> None:
        """The bridges, TAPs and rules are all gone; for when no machine runs."""
        async with self._turn:
            await self.taps.let_go_of_all()
            for bridge in list(self._segments):
                await bridges.end(bridge)
            self._segments.clear()
            if self._has_rules:
                await self._apply(self._nothing())
                self._has_rules = False
            if self._has_rules6:
                await self._apply(rules6.nothing(self._table))
                self._has_rules6 = False
            await self._end_firewalls()

    # IPv6

    async def _open6(self) -> None:
        """The rules for IPv6 exist if a network has a gateway for it; else those of an earlier daemon do not."""
        routed = [segment for segment in self._segments.values() if segment.gateway6 is not None]
        if not routed:
            with contextlib.suppress(
                NftFailed
            ):  # the kernel has no such tables: then there was none
                await self._apply(rules6.nothing(self._table))
        elif not await self._can_route6():
            self._segments |= {item.bridge: replace(item, gateway6=None) for item in routed}

    async def _can_route6(self) -> bool:
        """Whether networks reach the outside by IPv6, which the host and its rules are ready for now."""
        if self._has_rules6 or self.obstacle6:
            return self._has_rules6
        try:
            # Rules first: the kernel forwards nothing that they have not seen.
            await self._apply(self._everything6())
            await asyncio.to_thread(forwarding.forward6)
        except HyperError as error:
            self.obstacle6 = error.message
            logger.warning("networks have no way out by IPv6: %s", error.message)
            with contextlib.suppress(NftFailed):
                await self._apply(rules6.nothing(self._table))
            return False
        self._has_rules6 = True
        return True

    def _everything6(self) -> list[str]:
        return rules6.everything(
            self._table,
            self._segments.values(),
            [item for machine in self._machines.values() for item in machine.relayed],
            max_flows=conntrack.max_flows() // _SHARE if self._counts else None,
        )

    # Networks

    async def elect(self, pools: Sequence[Pool], others: Collection[IPv4Network]) -> IPv4Network:
        """A subnet of ``pools`` that nothing on this host, nor ``others``, overlaps.

        Raises:
            Forbidden: there is none.
        """
        return ipam.choose(pools, [*await host_routes.taken(), *others])

    async def raise_segment(self, segment: Segment) -> None:
        """The network's bridge is up and has its rules. Repeatable.

        Raises:
            Conflict: the subnet is used for something else on this host.
            HyperError: the bridge cannot be made.
        """
        if segment.bridge in self._segments:
            return
        async with self._turn:
            if segment.bridge in self._segments:
                return
            if segment.gateway6 is not None and not await self._can_route6():
                segment = replace(segment, gateway6=None)
            bridges.ensure(segment, await host_routes.taken(), host_routes.taken6())
            self._segments[segment.bridge] = segment
            try:
                if self._has_rules:
                    await self._apply(rules.add_segment(self._table, segment))
                else:
                    await self._apply_everything()
                self._has_rules = True
                if segment.gateway6 is not None:
                    await self._apply(rules6.add_segment(self._table, segment))
            except BaseException:
                del self._segments[segment.bridge]
                await bridges.end(segment.bridge)
                raise

    async def lower_segment(self, bridge: str) -> None:
        """The network's bridge does not exist. Repeatable."""
        async with self._turn:
            segment = self._segments.pop(bridge, None)
            if segment is not None:
                await self._apply(rules.remove_segment(self._table, segment))
                if self._has_rules6:
                    await self._apply(rules6.remove_segment(self._table, segment))
            await bridges.end(bridge)

    def has(self, bridge: str) -> bool:
        """Whether the network is up."""
        return bridge in self._segments

    # Machines

    @property
    def _of_machine(self) -> MachineRules:
        return MachineRules(self._table, self._has_rules6)

    async def settle(self, machine: MachinePorts) -> None:
        """The machine of ``machine.tap``, which is open, has all of ``machine`` and nothing else.

        Raises:
            HyperError: it could not be done; then the machine's network is as it was, or cut off.
        """
        async with self._turn:
            old = self._machines.get(machine.tap, MachinePorts(machine.tap))
            of_machine = self._of_machine
            devices = {port.device for port in machine.ports if port.device}
            for port in machine.ports:
                if port.device and not link.exists(port.device):
                    await link.make_pair(port.device, port.peer)
            # Rules first: a card that is on a bridge is never without.
            await self._apply(
                [
                    *rules.guard(self._table, machine.tap, machine.ports),
                    *of_machine.remove(old),
                    *of_machine.build(machine),
                    *of_machine.unpublish(old),
                    *of_machine.publish(machine),
                ]
            )
            self._machines[machine.tap] = machine
            self._join(machine, old)
            await flows.forget_published(set(old.published) ^ set(machine.published))
            for port in old.ports:
                if port.device and port.device not in devices:
                    await self._forget(port.device)

    def _has_firewalls(self) -> bool:
        return any(machine.firewall is not None for machine in self._machines.values())

    async def _end_firewalls(self) -> None:
        """The table for firewalls is gone if no machine has one."""
        if self._has_firewalls():
            return
        with contextlib.suppress(NftFailed):  # the kernel has no such tables: then there was none
            await self._apply(firewall.nothing(self._table))

    def _join(self, machine: MachinePorts, old: MachinePorts) -> None:
        direct = [port.segment for port in machine.ports if not port.device]
        for port in old.ports:
            if not port.device and port.segment not in direct:
                link.leave_bridge(machine.tap, port.segment.bridge)
        for port in machine.ports:
            card = port.peer or machine.tap
            link.join_bridge(card, port.segment.bridge)
            if port.segment.isolate:
                link.isolate_port(card)
            if machine.published:
                # To itself by a published port: where bridges are filtered (br_netfilter) that goes out as it came in.
                link.return_frames(card)
            if port.device:
                link.set_up(port.device, mtu=port.segment.mtu)
            link.set_up(card, mtu=port.segment.mtu)
            # Who asks for a machine that is not up yet gets no answer, and the kernel asks again after a second only:
            # so long would wait who comes to a published port. And a bridge that does not know where somebody is shows
            # what is for him to all.
            link.bind_port(card, port.mac)
            link.know_neighbour(port.segment.bridge, port.address, port.mac)
        if not direct:
            link.set_up(machine.tap)

    async def unpublish(self, tap: str) -> None:
        """The machine's published ports lead to it no more."""
        async with self._turn:
            machine = self._machines.get(tap)
            if machine is None or not (machine.published or machine.relayed):
                return
            self._machines[tap] = replace(machine, published=(), relayed=())
            await self._apply(self._of_machine.unpublish(machine))
            await flows.forget_published(machine.published)

    async def leave(self, tap: str) -> None:
        """The machine ``tap``, which has ended, has left nothing behind. Repeatable."""
        await self.unpublish(tap)
        await self.taps.let_go(tap)
        async with self._turn:
            machine = self._machines.pop(tap, None)
            if link.exists(tap):
                tun.end_tap(tap)
            if machine is None:
                return
            for device in (tap, *(port.device for port in machine.ports if port.device)):
                await self._forget(device)
            if gone := self._of_machine.remove(machine):
                await self._apply(gone)
                await self._end_firewalls()
            # The next machine of this address has nothing to do with them.
            addresses: list[conntrack.Address] = [port.address for port in machine.ports]
            routed = ports6(machine) if self._has_rules6 else []
            addresses += [port.address6 for port in routed if port.address6 is not None]
            await flows.forget_addresses(addresses)

    async def _forget(self, device: str) -> None:
        if device.startswith("hv"):
            await link.end_pair(device)
        with contextlib.suppress(NftFailed):  # it had none, or they went with it
            await self._apply(rules.unguard(self._table, device))

    async def _apply_everything(self) -> None:
        try:
            await self._apply(self._everything())
        except NftFailed as error:
            if not self._counts:
                raise
            self._counts = False
            await self._apply(self._everything())
            logger.warning("guests' questions and flows are not limited: %s", error.message)

    def _everything(self) -> list[str]:
        present = set(link.names())
        ports: Mapping[str, Sequence[Port]] = {
            machine.tap: machine.ports
            for machine in self._machines.values()
            if machine.tap in present
        }
        machines = self._machines.values()
        published = [item for machine in machines for item in machine.published]
        text = rules.everything(
            self._table,
            self._segments.values(),
            ports.items(),
            published,
            max_flows=conntrack.max_flows() // _SHARE if self._counts else None,
        )
        anew = firewall.nothing(self._table) if self._has_firewalls() else []
        ways = [line for machine in machines for line in self._of_machine.build(machine)]
        return [*text.splitlines(), *anew, *ways]

    def _nothing(self) -> list[str]:
        return rules.nothing(self._table)

    async def _apply(self, lines: Sequence[str]) -> None:
        if lines:
            await nftables.apply("\n".join(lines) + "\n")
