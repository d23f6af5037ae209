"""IPv6 addresses of networks, and the rules that hold a machine to its own."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from hyper.errors import Conflict, InvalidRequest
from hyper.network import rules
from hyper.network.ipam6 import choose6, link_local_of, space6


def test_addresses_are_picked_in_order_and_wishes_kept() -> None:
    """The lowest free one but network and gateway, the last one again, one asked for; none twice."""
    space = space6(subnet="fd00::/64")
    first, second = IPv6Address("fd00::2"), IPv6Address("fd00::3")
    assert str(space.gateway) == "fd00::1"
    assert space.pick([], wish=None, last=None) == first
    assert space.pick([first], wish=None, last=first) == second
    assert space.pick([first], wish=None, last=IPv6Address("fd00::9")) == IPv6Address("fd00::9")
    with pytest.raises(Conflict):
        space.pick([first], wish=first, last=None)
    tiny = space6(subnet="fd00::/126")
    with pytest.raises(Conflict):
        tiny.pick([first, second], wish=None, last=None)
    ranged = space6(subnet="fd00::/64", ip_range="fd00::8:0/112")
    assert ranged.pick([], wish=None, last=None) == IPv6Address("fd00::8:0")


def test_a_subnet_nobody_has_said_is_the_daemons_own() -> None:
    """A /64 of unique local addresses, the first that is free, another daemon's elsewhere."""
    first = choose6("one", [])
    assert (first.prefixlen, first.network_address.packed[0]) == (64, 0xFD)
    assert choose6("one", []) == first
    second = choose6("one", [first])
    assert second.network_address.packed[:6] == first.network_address.packed[:6]
    assert not second.overlaps(first)
    assert choose6("two", []).network_address.packed[:6] != first.network_address.packed[:6]
    with pytest.raises(Conflict, match="are taken"):
        choose6("one", [IPv6Network("fd00::/8")])


@pytest.mark.parametrize(
    ("subnet", "gateway", "ip_range"),
    [
        ("fd00::", "", ""),
        ("fd00::/8", "", ""),
        ("fd00::/127", "", ""),
        ("fe80::/64", "", ""),
        ("ff02::/64", "", ""),
        ("::1/64x", "", ""),
        ("fd00::/64", "fd01::1", ""),
        ("fd00::/64", "fd00::1%eth0", ""),
        ("fd00::/64", "", "fd01::/80"),
    ],
)
def test_what_is_no_network(subnet: str, gateway: str, ip_range: str) -> None:
    """Refused with the reason."""
    with pytest.raises(InvalidRequest):
        space6(subnet=subnet, gateway=gateway, ip_range=ip_range)


def test_a_machine_speaks_over_ipv6_only_where_it_has_an_address() -> None:
    """Its own address and its card's; advertisements about these alone; it is no router."""
    segment = rules.Segment("br", IPv4Network("10.1.0.0/24"), IPv4Address("10.1.0.1"))
    mac, address = "02:42:0a:01:00:02", IPv4Address("10.1.0.2")
    without = rules.guard("t", "tap", [rules.Port(segment, mac, address)])
    assert not any("ip6" in line for line in without)
    port = rules.Port(segment, mac, address, address6=IPv6Address("fd00::2"))
    text = [line for line in rules.guard("t", "tap", [port]) if "ip6" in line]
    assert str(link_local_of(mac)) == "fe80::42:aff:fe01:2"
    assert "{ nd-router-advert, nd-redirect } drop" in text[0]
    assert text[-2].endswith("nd-neighbor-advert drop")
    assert text[-1].endswith("ip6 saddr { fd00::2, fe80::42:aff:fe01:2 } accept")
