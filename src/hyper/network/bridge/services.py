"""Services: where a machine's connections to them go, as nft's text, a pure function of what they are.

What a machine sends to a service's address is led to one of the service's hosts, each new connection to the next one.
Answers find back by themselves, since a host on the machine's own network sees the gateway as its caller (as with
published ports). A machine that reaches no others without services reaches none with them: what would come into
another network, of this hyperd or of another one (``hb-*``), is refused.

Source: nft(8): "NUMGEN EXPRESSION", "NAT STATEMENTS", "MAPS"; docs/decisions/0022-services.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from hyper.network.bridge.nft_text import add_elements, remove_elements
from hyper.network.bridge.rules import Port
from hyper.network.lease import Service


def build(table: str, tap: str, services: Sequence[Service], ports: Sequence[Port]) -> list[str]:
    """The rules by which the machine at ``ports`` has ``services``. Any it had were removed before."""
    lines = []
    for number, service in enumerate(services):
        chain = f"ip {table} {_name(tap, number)}"
        lines += [
            f"add chain {chain}",
            f"flush chain {chain}",
            f"add rule {chain} {_turns(service)}",
        ]
    return [*lines, *add_elements("ip", table, _elements(tap, services, ports))]


def remove(table: str, tap: str, services: Sequence[Service], ports: Sequence[Port]) -> list[str]:
    """The rules of ``services`` are gone. Repeatable."""
    chains = [f"ip {table} {_name(tap, number)}" for number in range(len(services))]
    lines = [f"add chain {chain}" for chain in chains]
    lines += remove_elements("ip", table, _elements(tap, services, ports))
    for chain in chains:
        lines += [f"flush chain {chain}", f"delete chain {chain}"]
    return lines


def _name(tap: str, number: int) -> str:
    return f"service-{tap}-{number}"


def _turns(service: Service) -> str:
    lead = f"meta l4proto {service.protocol} dnat ip to"
    if len(service.hosts) == 1:
        address, port = service.hosts[0]
        return f"{lead} {address}:{port}"
    hosts = enumerate(service.hosts)
    places = ", ".join(f"{turn} : {address} . {port}" for turn, (address, port) in hosts)
    return f"{lead} numgen inc mod {len(service.hosts)} map {{ {places} }}"


def _elements(tap: str, services: Iterable[Service], ports: Sequence[Port]) -> Iterator[str]:
    """The elements for each of the machine's addresses with each service, and with each service's address."""
    pairs: dict[str, None] = {}
    for number, service in enumerate(services):
        for port in ports:
            pair = f"{port.address} . {service.address}"
            pairs[pair] = None
            key = f"{pair} . {service.protocol} . {service.port}"
            yield f"services {{ {key} : goto {_name(tap, number)} }}"
    yield from (f"served {{ {pair} }}" for pair in pairs)
