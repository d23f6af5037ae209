"""Firewalls of machines: which callers may reach a machine, as nft's text for white lists, a pure function of them.

What the host sends or leads to a machine is judged in the table ``ip``, by where the connection came from before
anything was translated: that is what conntrack keeps. What neighbours send to each other over a bridge never comes
there, so a second chain judges it in a table ``bridge``, which exists only while a machine has lists. Many kernels have
no conntrack for bridges: a TCP connection is told by the packet that opens it, and of UDP the machine's own words are
remembered, so that it gets their answers.

nft's names stay ``walls`` and ``wall-TAP``: an earlier daemon's rules are removed by them.

Source: nft(8): "CT EXPRESSIONS", "SET STATEMENT", "ADDRESS FAMILIES"; docs/decisions/0022-services.md.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from hyper.network.bridge.nft_text import add_elements, no_table, remove_elements
from hyper.network.bridge.rules import Port

Network = IPv4Network | IPv6Network

#: For how long a neighbour may answer a datagram, as conntrack has it for streams of them, and how many are awaited.
_ANSWER_S: Final = 180
_MAX_AWAITED: Final = 4096
_BASE: Final = """
  add table bridge TABLE
  add map bridge TABLE walls { type ifname : verdict; }
  add map bridge TABLE heard { type ifname : verdict; }
  add chain bridge TABLE forward { type filter hook forward priority filter; policy accept; }
  flush chain bridge TABLE forward
  add rule bridge TABLE forward iifname vmap @heard
  add rule bridge TABLE forward oifname vmap @walls
"""


@dataclass(frozen=True, slots=True)
class Firewall:
    """A firewall: callers of ``inside`` reach every port, those of ``outside`` the ``published``: (protocol, port)."""

    inside: tuple[Network, ...]
    outside: tuple[Network, ...]
    published: tuple[tuple[str, int], ...]


def build6(table: str, tap: str, firewall: Firewall, ports: Sequence[Port]) -> list[str]:
    """The rules that judge what the host sends by IPv6, at those of ``ports`` that have an address for it."""
    return [
        *_chain("ip6", table, tap, _judge_routed(firewall, 6)),
        *add_elements("ip6", table, (_routed(tap, port.address6) for port in ports)),
    ]


def remove6(table: str, tap: str, ports: Sequence[Port]) -> list[str]:
    """The rules for what the host sends by IPv6 are gone. Repeatable."""
    chain = f"ip6 {table} {_name(tap)}"
    return [
        f"add chain {chain}",
        *remove_elements("ip6", table, (_routed(tap, port.address6) for port in ports)),
        f"flush chain {chain}",
        f"delete chain {chain}",
    ]


def _routed(tap: str, address: IPv4Address | IPv6Address | None) -> str:
    return f"walls {{ {address} : jump {_name(tap)} }}"


def build(table: str, tap: str, firewall: Firewall, ports: Sequence[Port]) -> list[str]:
    """The rules by which callers not in ``firewall`` reach the machine at none of ``ports``.

    Any firewall it had was removed before.
    """
    return [
        *_chain("ip", table, tap, _judge_routed(firewall, 4)),
        *add_elements("ip", table, (_routed(tap, port.address) for port in ports)),
        *_bridge(table),
        *(f"add set bridge {table} {_set(tap, version)}" for version in (4, 6)),
        *_chain("bridge", table, tap, _judge_neighbours(tap, firewall)),
        *_said(table, tap),
        *(line for port in ports for line in _cards(table, tap, port)),
    ]


def remove(table: str, tap: str, ports: Sequence[Port]) -> list[str]:
    """The machine's firewall is gone, but for the table ``bridge`` itself. Repeatable."""
    lines = [
        f"add chain ip {table} {_name(tap)}",
        *remove_elements("ip", table, (_routed(tap, port.address) for port in ports)),
        f"flush chain ip {table} {_name(tap)}",
        f"delete chain ip {table} {_name(tap)}",
        *_bridge(table),
    ]
    for chain in (_name(tap), _heard(tap)):
        lines.append(f"add chain bridge {table} {chain}")
    for port in ports:
        lines += remove_elements("bridge", table, _elements(tap, port))
    for chain in (_name(tap), _heard(tap)):
        lines += [f"flush chain bridge {table} {chain}", f"delete chain bridge {table} {chain}"]
    for version in (4, 6):
        lines += [
            f"add set bridge {table} {_set(tap, version)}",
            f"delete set bridge {table} said{version}-{tap}",
        ]
    return lines


def nothing(table: str) -> list[str]:
    """The table ``bridge`` does not exist. Fails where the kernel knows none."""
    return no_table("bridge", table)


def _name(tap: str) -> str:
    return f"wall-{tap}"


def _heard(tap: str) -> str:
    return f"heard-{tap}"


def _chain(family: str, table: str, tap: str, rules: Iterable[str]) -> list[str]:
    where = f"{family} {table} {_name(tap)}"
    return [
        f"add chain {where}",
        f"flush chain {where}",
        *(f"add rule {where} {it}" for it in rules),
    ]


def _judge_routed(firewall: Firewall, version: int) -> list[str]:
    """The verdicts on routed packets: answers to the machine come to it, and pings do: they reach no port."""
    inside, outside = _of(version, firewall.inside), _of(version, firewall.outside)
    caller = f"ct original {'ip' if version == 4 else 'ip6'} saddr"
    return [
        "ct direction reply return",
        f"meta l4proto {'icmp' if version == 4 else 'ipv6-icmp'} return",
        *([f"{caller} {inside} return"] if inside else []),
        *(
            [f"{_published(firewall)} {caller} {outside} return"]
            if outside and firewall.published
            else []
        ),
        "reject",
    ]


def _judge_neighbours(tap: str, firewall: Firewall) -> list[str]:
    families = (("ip", 4), ("ip6", 6))
    inside = [(f"{family} saddr", _of(version, firewall.inside)) for family, version in families]
    outside = [(f"{family} saddr", _of(version, firewall.outside)) for family, version in families]
    return [
        "ether type arp return",
        "meta l4proto { icmp, ipv6-icmp } return",
        *(f"{caller} {those} return" for caller, those in inside if those),
        # In the first of them a port or a flag may be missing, or stand where the receiver does not look for it.
        "ip frag-off & 0x3fff != 0 drop",
        "exthdr frag exists drop",
        # What does not open a connection belongs to one that was let in, or that the machine has opened.
        "tcp flags & (syn | ack) != syn return",
        f"ip protocol udp ip saddr . udp sport . udp dport @said4-{tap} return",
        f"ip6 nexthdr udp ip6 saddr . udp sport . udp dport @said6-{tap} return",
        *(
            f"{_published(firewall)} {caller} {those} return"
            for caller, those in outside
            if those and firewall.published
        ),
        "drop",
    ]


def _of(version: int, networks: Iterable[Network]) -> str:
    """The networks of one version as a set; "": none. No two overlap: nft would refuse them."""
    if version == 4:
        narrow = ipaddress.collapse_addresses(it for it in networks if isinstance(it, IPv4Network))
        texts = [str(network) for network in narrow]
    else:
        wide = ipaddress.collapse_addresses(it for it in networks if isinstance(it, IPv6Network))
        texts = [str(network) for network in wide]
    return f"{{ {', '.join(texts)} }}" if texts else ""


def _published(firewall: Firewall) -> str:
    places = sorted(set(firewall.published))
    return f"meta l4proto . th dport {{ {', '.join(f'{name} . {port}' for name, port in places)} }}"


def _bridge(table: str) -> list[str]:
    """The table ``bridge`` exists, with the chains from which all firewalls are reached."""
    return [line.strip() for line in _BASE.replace("TABLE", table).strip().splitlines()]


def _set(tap: str, version: int) -> str:
    return (
        f"said{version}-{tap} {{ type ipv{version}_addr . inet_service . inet_service; "
        f"flags dynamic, timeout; timeout {_ANSWER_S}s; size {_MAX_AWAITED}; }}"
    )


def _said(table: str, tap: str) -> list[str]:
    """The rules by which those that the machine sends to may answer."""
    where = f"bridge {table} {_heard(tap)}"
    return [
        f"add chain {where}",
        f"flush chain {where}",
        f"add rule {where} ip protocol udp "
        f"update @said4-{tap} {{ ip daddr . udp dport . udp sport }}",
        f"add rule {where} ip6 nexthdr udp "
        f"update @said6-{tap} {{ ip6 daddr . udp dport . udp sport }}",
    ]


def _cards(table: str, tap: str, port: Port) -> list[str]:
    return add_elements("bridge", table, _elements(tap, port))


def _elements(tap: str, port: Port) -> tuple[str, str]:
    """The elements by which the bridge's port to the machine leads to its chains, in both directions."""
    card = f'"{port.peer or tap}"'
    return f"walls {{ {card} : jump {_name(tap)} }}", f"heard {{ {card} : jump {_heard(tap)} }}"
