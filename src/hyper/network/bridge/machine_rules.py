"""The rules of one machine on bridges: who may reach it, where its connections go, which ports lead to it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from hyper.network.bridge import firewall, rules, rules6, services
from hyper.network.bridge.firewall import Firewall
from hyper.network.bridge.rules import Port, Publication
from hyper.network.bridge.rules6 import Relayed
from hyper.network.lease import Service


@dataclass(frozen=True, slots=True)
class MachinePorts:
    """A machine's ports on the host's networks, and the rules that are made for it."""

    tap: str
    #: The first is the TAP itself.
    ports: tuple[Port, ...] = ()
    published: tuple[Publication, ...] = ()
    #: The callers that may reach the machine; None: all.
    firewall: Firewall | None = None
    #: Services to whose hosts some of what the machine sends is led.
    services: tuple[Service, ...] = ()
    #: It may speak to services of the host, wherever it is.
    host_services: bool = False
    #: Ports of the host that hyperd listens on for it.
    relayed: tuple[Relayed, ...] = ()


def ports6(machine: MachinePorts) -> list[Port]:
    """The ports by which the host reaches the machine by IPv6, where it has rules for that."""
    routed = [port for port in machine.ports if port.segment.gateway6 is not None]
    return [port for port in routed if port.address6 is not None]


@dataclass(frozen=True, slots=True)
class MachineRules:
    """The rules as nft's text, for the daemon's ``table``. ``has6``: there is one for IPv6."""

    table: str
    has6: bool

    def build(self, machine: MachinePorts) -> list[str]:
        """The rules for the machine's callers, and for where its own connections go."""
        table, tap, ports = self.table, machine.tap, machine.ports
        built = services.build(table, tap, machine.services, ports)
        if machine.firewall is not None:
            built += firewall.build(table, tap, machine.firewall, ports)
        if machine.host_services:
            built += rules.admit(table, ports)
        return [*built, *self._build6(machine)]

    def _build6(self, machine: MachinePorts) -> list[str]:
        ports = ports6(machine)
        if not (self.has6 and ports):
            return []
        built = rules6.admit(self.table, ports) if machine.host_services else []
        if machine.firewall is not None:
            built += firewall.build6(self.table, machine.tap, machine.firewall, ports)
        return built

    def remove(self, machine: MachinePorts) -> list[str]:
        """The rules that ``build`` made are gone."""
        table, tap, ports = self.table, machine.tap, machine.ports
        gone = services.remove(table, tap, machine.services, ports)
        if machine.firewall is not None:
            gone += firewall.remove(table, tap, ports)
        if machine.host_services:
            gone += rules.dismiss(table, ports)
        return [*gone, *self._remove6(machine)]

    def _remove6(self, machine: MachinePorts) -> list[str]:
        ports = ports6(machine)
        if not (self.has6 and ports):
            return []
        gone = rules6.dismiss(self.table, ports) if machine.host_services else []
        if machine.firewall is not None:
            gone += firewall.remove6(self.table, machine.tap, ports)
        return gone

    def publish(self, machine: MachinePorts) -> list[str]:
        """The rules for the ports of the host that lead to the machine."""
        lines = [line for item in machine.published for line in rules.publish(self.table, item)]
        return [*lines, *rules6.publish(self.table, machine.relayed)] if self.has6 else lines

    def unpublish(self, machine: MachinePorts) -> list[str]:
        """The rules that ``publish`` made are gone."""
        lines = [line for item in machine.published for line in rules.unpublish(self.table, item)]
        gone = rules6.unpublish(self.table, machine.relayed) if self.has6 else []
        return [*lines, *gone]
