"""The packet filter for bridged networks: nft's text as a pure function of what there is.

Tables of the daemon's own, all named alike; no other table is ever touched. Networks, published ports and
name servers are elements of sets and maps, so that a change costs the same with one machine or a thousand. What a
machine may send is a chain of its own in the netdev table, so its address is its own and what it takes of the host can
be counted by it: questions to the name server, flows that the kernel keeps.

Source: nft(8): "ADDRESS FAMILIES", "MAP", "NAT STATEMENTS", "FWD STATEMENT"; docs/decisions/0009-networks.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Interface

from hyper.network.bridge.budget import MAX_QUESTIONS_A_SECOND, MAX_QUESTIONS_AT_ONCE
from hyper.network.bridge.nft_text import add_elements, limit_flows, no_table, remove_elements
from hyper.network.ipam6 import link_local_of


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment: a network as the host sees it, a bridge with the gateway's address."""

    bridge: str
    subnet: IPv4Network
    gateway: IPv4Address
    internal: bool = False
    masquerade: bool = True
    isolate: bool = False
    mtu: int = 1500
    #: Its machines may speak to services of the host.
    host_services: bool = False
    #: The host's address on it, and the subnet, where machines reach the outside by IPv6.
    gateway6: IPv6Interface | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """A machine's place on a segment: the only MAC and address it may use there.

    ``device``: the card of the host that leads into the bridge where it is not the machine's TAP itself ("").
    """

    segment: Segment
    mac: str
    address: IPv4Address
    device: str = ""
    address6: IPv6Address | None = None

    @property
    def peer(self) -> str:
        """The peer of ``device``, a port of the bridge."""
        return f"{self.device[:-1]}b" if self.device else ""


@dataclass(frozen=True, slots=True)
class Publication:
    """A port of the host that leads to an endpoint's; ``host`` None: on every address of the host."""

    protocol: str
    host: IPv4Address | None
    host_port: int
    address: IPv4Address
    port: int


_CHAINS = """
  set bridges { type ifname; }
  set internal { type ifname; }
  set masquerading { type ifname; }
  set pairs { type ifname . ifname; }
  set isolated { type ifname . ifname; }
  set servers { type ifname . ipv4_addr; }
  set hosting { type ifname; }
  set callers { type ifname . ipv4_addr; }
  set themselves { type ipv4_addr . ipv4_addr; }
  map everywhere { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map somewhere { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
  map walls { type ipv4_addr : verdict; }
  map services { type ipv4_addr . ipv4_addr . inet_proto . inet_service : verdict; }
  set served { type ipv4_addr . ipv4_addr; }
  FLOWS
  chain early {
    type filter hook prerouting priority raw; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop
    iifname @bridges ip saddr 127.0.0.0/8 drop
    QUESTIONS
  }
  chain published {
    dnat ip to ip daddr . meta l4proto . th dport map @somewhere
    dnat ip to meta l4proto . th dport map @everywhere
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    iifname @internal return
    iifname @bridges ip saddr . ip daddr . meta l4proto . th dport vmap @services
    fib daddr type local jump published
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump published
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname @bridges ip saddr 127.0.0.0/8 masquerade
    iifname . oifname @pairs ct status dnat masquerade
    ip saddr . ip daddr @themselves ct status dnat masquerade
    iifname @masquerading oifname != @bridges masquerade
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    ip daddr vmap @walls
    iifname . oifname @isolated ct status dnat accept
    iifname . oifname @isolated ct state established,related accept
    iifname . oifname @isolated drop
    iifname . oifname @pairs accept
    iifname @internal drop
    oifname @internal drop
    iifname @bridges ip daddr 169.254.0.0/16 reject
    oifname @bridges ct direction original ct original ip saddr . ct original ip daddr @served reject
    oifname "hb-*" ct direction original ct original ip saddr . ct original ip daddr @served reject
    oifname @bridges ct state established,related accept
    oifname @bridges ct status dnat accept
    oifname @bridges drop
  }
  chain leaving {
    type filter hook output priority filter; policy accept;
    ip daddr vmap @walls
  }
  chain input {
    type filter hook input priority filter; policy accept;
    iifname . ip daddr @servers meta l4proto { tcp, udp } th dport 53 accept
    iifname . ip daddr @servers icmp type echo-request accept
    ct state established,related accept
    iifname @internal drop
    iifname @bridges ip daddr 169.254.0.0/16 reject
    iifname @hosting accept
    iifname . ip saddr @callers accept
    iifname @bridges meta l4proto tcp reject with tcp reset
    iifname @bridges reject
  }
"""
#: What is over a machine's share of questions is dropped before anything of the host has looked at it.
_QUESTIONS = (
    "iifname . ip daddr @servers meta l4proto { tcp, udp } th dport 53 update @asking { ip saddr "
    f"limit rate over {MAX_QUESTIONS_A_SECOND}/second burst {MAX_QUESTIONS_AT_ONCE} packets }} drop"
)
_ASKING = "set asking { type ipv4_addr; flags dynamic, timeout; timeout 1m; size 65535; }"


def everything(
    table: str,
    segments: Iterable[Segment],
    ports: Iterable[tuple[str, Sequence[Port]]],
    published: Iterable[Publication],
    *,
    max_flows: int | None,
) -> str:
    """The text that makes the daemon's tables anew, in one transaction: no packet meets a moment without rules.

    ``ports`` by the TAP that they are on. ``max_flows``: flows the kernel keeps for one machine
    at a time; None: it can count neither these nor questions.
    """
    lines = [
        *nothing(table),
        f"table ip {table} {{{_chains(max_flows)}}}",
        f"table netdev {table} {{",
        "}",
        *(line for segment in segments for line in add_segment(table, segment)),
        *(line for tap, places in ports for line in guard(table, tap, places)),
        *(line for place in published for line in publish(table, place)),
    ]
    return "\n".join(lines) + "\n"


def _chains(max_flows: int | None) -> str:
    if max_flows is None:
        return _CHAINS.replace("QUESTIONS", "").replace("FLOWS", "")
    flows = f"{_ASKING}\n  {limit_flows('ip', max_flows)}"
    return _CHAINS.replace("QUESTIONS", _QUESTIONS).replace("FLOWS", flows)


def nothing(table: str) -> list[str]:
    """The text that removes the daemon's tables."""
    return [line for family in ("ip", "netdev") for line in no_table(family, table)]


def add_segment(table: str, segment: Segment) -> list[str]:
    """The text by which ``segment``'s bridge is one of ours."""
    return add_elements("ip", table, _memberships(segment))


def remove_segment(table: str, segment: Segment) -> list[str]:
    """The text by which ``segment``'s bridge is none of ours. Repeatable."""
    return remove_elements("ip", table, _memberships(segment))


def _memberships(segment: Segment) -> list[str]:
    name = f'"{segment.bridge}"'
    return [
        f"bridges {{ {name} }}",
        f"pairs {{ {name} . {name} }}",
        *([f"isolated {{ {name} . {name} }}"] if segment.isolate else []),
        f"servers {{ {name} . {segment.gateway} }}",
        *([f"internal {{ {name} }}"] if segment.internal else []),
        *([f"hosting {{ {name} }}"] if segment.host_services else []),
        *([f"masquerading {{ {name} }}"] if segment.masquerade and not segment.internal else []),
    ]


def guard(table: str, tap: str, ports: Sequence[Port]) -> list[str]:
    """The rules by which ``tap`` sends only frames of ``ports``, each with its own MAC and address.

    They replace what was there.
    """
    lines = [_chain(table, tap), f"flush chain netdev {table} {tap}"]
    for port in ports:
        verdict = f'fwd to "{port.device}"' if port.device else "accept"
        origin = f"add rule netdev {table} {tap} ether saddr {port.mac}"
        lines += [
            f"{origin} ether type ip ip saddr {port.address} {verdict}",
            f"{origin} ether type arp arp saddr ether {port.mac} "
            f"arp saddr ip {{ {port.address}, 0.0.0.0 }} {verdict}",
            *(f"{origin} {match}" for match in _guard6(port, verdict)),
        ]
        if port.device:
            lines += [
                _chain(table, port.device),
                f"flush chain netdev {table} {port.device}",
                f'add rule netdev {table} {port.device} fwd to "{tap}"',
            ]
    return lines


def _guard6(port: Port, verdict: str) -> list[str]:
    """The rules for a port's address and its card's link-local one: it is no router, and speaks for no other."""
    if port.address6 is None:
        return []
    own = (port.address6, link_local_of(port.mac))
    # Byte 8 of a neighbour advertisement: whose address it tells. (RFC 4861, 4.4; nft 1.0.6 has no name for it.)
    about = "ether type ip6 meta l4proto ipv6-icmp icmpv6 type"
    source = f"ip6 saddr {{ {own[0]}, {own[1]} }}"
    return [
        f"{about} {{ nd-router-advert, nd-redirect }} drop",
        *(
            f"{about} nd-neighbor-advert {source} @th,64,128 0x{int(address):032x} {verdict}"
            for address in own
        ),
        f"{about} nd-neighbor-advert drop",
        f"ether type ip6 {source} {verdict}",
    ]


def unguard(table: str, device: str) -> list[str]:
    """The text by which ``device`` has no rules. Fails where it had none: kernels before 6.16 remove them with it."""
    return [f"flush chain netdev {table} {device}", f"delete chain netdev {table} {device}"]


def _chain(table: str, device: str) -> str:
    return (
        f"add chain netdev {table} {device} "
        f'{{ type filter hook ingress device "{device}" priority filter; policy drop; }}'
    )


def publish(table: str, place: Publication) -> list[str]:
    """The published port ``place`` leads to its endpoint, also from there: by the gateway's address,
    else the endpoint would speak to itself.
    """
    return add_elements("ip", table, (_element(place), _itself(place)))


def unpublish(table: str, place: Publication) -> list[str]:
    """The published port ``place`` leads nowhere. Repeatable."""
    return remove_elements("ip", table, (_element(place), _itself(place)))


def _itself(place: Publication) -> str:
    return f"themselves {{ {place.address} . {place.address} }}"


def admit(table: str, ports: Iterable[Port]) -> list[str]:
    """The machine at ``ports`` may speak to services of the host."""
    return add_elements("ip", table, _callers(ports))


def dismiss(table: str, ports: Iterable[Port]) -> list[str]:
    """The machine at ``ports`` may not speak to services of the host. Repeatable."""
    return remove_elements("ip", table, _callers(ports))


def _callers(ports: Iterable[Port]) -> list[str]:
    return [f'callers {{ "{port.segment.bridge}" . {port.address} }}' for port in ports]


def _element(place: Publication) -> str:
    key = f"{place.protocol} . {place.host_port}"
    value = f"{place.address} . {place.port}"
    if place.host is None:
        return f"everywhere {{ {key} : {value} }}"
    return f"somewhere {{ {place.host} . {key} : {value} }}"
