"""The packet filter for IPv6 of bridged networks: nft's text as a pure function of what there is.

A table ``ip6`` of the daemon's own, which exists from the first network on that has an IPv6 gateway. Machines reach the
outside with the host's address, and nothing comes to them but answers: published ports are led on by hyperd itself
(relay.py), so from networks they are reached as services of the host. Bridges, machines and neighbours are
dealt with here as rules.py does for IPv4.

Source: nft(8): "ADDRESS FAMILIES", "MAP", "NAT STATEMENTS"; docs/decisions/0009-networks.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address

from hyper.network.bridge.nft_text import add_elements, limit_flows, no_table, remove_elements
from hyper.network.bridge.rules import Port, Segment


@dataclass(frozen=True, slots=True)
class Relayed:
    """A port on IPv6 of the host that hyperd listens on for a machine; ``host`` None: on every address."""

    protocol: str
    host: IPv6Address | None
    host_port: int


_CHAINS = """
  set bridges { type ifname; }
  set masquerading { type ifname; }
  set pairs { type ifname . ifname; }
  set isolated { type ifname . ifname; }
  set gateways { type ifname . ipv6_addr; }
  set hosting { type ifname; }
  set callers { type ifname . ipv6_addr; }
  set everywhere { type inet_proto . inet_service; }
  set somewhere { type ipv6_addr . inet_proto . inet_service; }
  map walls { type ipv6_addr : verdict; }
  FLOWS
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    iifname @masquerading oifname != @bridges masquerade
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname . oifname @isolated drop
    iifname . oifname @pairs accept
    oifname @bridges ct state established,related accept
    oifname @bridges drop
  }
  chain leaving {
    type filter hook output priority filter; policy accept;
    ip6 daddr vmap @walls
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname @bridges icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
    iifname . ip6 daddr @gateways icmpv6 type echo-request accept
    ct state established,related accept
    iifname @hosting accept
    iifname . ip6 saddr @callers accept
    iifname @bridges meta l4proto . th dport @everywhere accept
    iifname @bridges ip6 daddr . meta l4proto . th dport @somewhere accept
    iifname @bridges meta l4proto tcp reject with tcp reset
    iifname @bridges reject
  }
"""


def everything(
    table: str,
    segments: Iterable[Segment],
    relayed: Iterable[Relayed],
    *,
    max_flows: int | None,
) -> list[str]:
    """The text that makes the daemon's table anew, in one transaction.

    ``max_flows``: of one machine; None: the kernel cannot count them.
    """
    flows = "" if max_flows is None else limit_flows("ip6", max_flows)
    return [
        *nothing(table),
        f"table ip6 {table} {{{_CHAINS.replace('FLOWS', flows)}}}",
        *(line for segment in segments for line in add_segment(table, segment)),
        *publish(table, relayed),
    ]


def nothing(table: str) -> list[str]:
    """The text that removes the daemon's table. Fails where the kernel knows no such tables."""
    return no_table("ip6", table)


def add_segment(table: str, segment: Segment) -> list[str]:
    """The text by which ``segment``'s bridge is one of ours, if it has an IPv6 gateway."""
    return add_elements("ip6", table, _memberships(segment))


def remove_segment(table: str, segment: Segment) -> list[str]:
    """The text by which ``segment``'s bridge is none of ours. Repeatable."""
    return remove_elements("ip6", table, _memberships(segment))


def _memberships(segment: Segment) -> list[str]:
    if segment.gateway6 is None:
        return []
    name = f'"{segment.bridge}"'
    return [
        f"bridges {{ {name} }}",
        f"pairs {{ {name} . {name} }}",
        *([f"isolated {{ {name} . {name} }}"] if segment.isolate else []),
        f"gateways {{ {name} . {segment.gateway6.ip} }}",
        *([f"hosting {{ {name} }}"] if segment.host_services else []),
        *([f"masquerading {{ {name} }}"] if segment.masquerade else []),
    ]


def publish(table: str, relayed: Iterable[Relayed]) -> list[str]:
    """The machines on networks reach these ports of the host."""
    return add_elements("ip6", table, map(_element, relayed))


def unpublish(table: str, relayed: Iterable[Relayed]) -> list[str]:
    """The machines on networks do not reach these ports of the host. Repeatable."""
    return remove_elements("ip6", table, map(_element, relayed))


def _element(item: Relayed) -> str:
    key = f"{item.protocol} . {item.host_port}"
    return (
        f"everywhere {{ {key} }}" if item.host is None else f"somewhere {{ {item.host} . {key} }}"
    )


def admit(table: str, ports: Iterable[Port]) -> list[str]:
    """The machine at ``ports`` may speak to services of the host."""
    return add_elements("ip6", table, _callers(ports))


def dismiss(table: str, ports: Iterable[Port]) -> list[str]:
    """The machine at ``ports`` may not speak to services of the host. Repeatable."""
    return remove_elements("ip6", table, _callers(ports))


def _callers(ports: Iterable[Port]) -> list[str]:
    return [f'callers {{ "{port.segment.bridge}" . {port.address6} }}' for port in ports]
